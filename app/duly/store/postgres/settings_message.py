"""Messages of Postgres' protocol that set the transaction of the statement behind them, in the same round trip."""

from collections.abc import Mapping
from itertools import count


def setting_query(settings: Mapping[str, str]) -> str:
    """Returns a query without rows that sets these settings until the transaction ends."""
    return "select where " + " or ".join(
        f"set_config('{name}', {_literal(value)}, true) is null" for name, value in settings.items()
    )


def _literal(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


class SettingMessages:
    """Messages of one connection. They need no response of their own: asyncpg passes over the additional
    `BindComplete` and `CommandComplete`.
    """

    def __init__(self) -> None:
        self._names = (f"duly_settings_{number}" for number in count(1))
        # By query, the messages that execute the statement, which is prepared.
        self._prepared: dict[str, bytes] = {}

    def of(self, query: str) -> bytes:
        """Returns the messages that execute a query of `setting_query`, and prepare it the first time."""
        if (prepared := self._prepared.get(query)) is not None:
            return prepared
        name = next(self._names).encode() + b"\0"
        execute = self._prepared[query] = _message(b"B", b"\0" + name + bytes(6)) + _message(b"E", bytes(5))
        return _message(b"P", name + query.encode() + b"\0" + bytes(2)) + execute


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body
