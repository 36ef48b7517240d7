"""Head of a request."""

from collections.abc import Mapping
from functools import lru_cache

from duly.domain.header_rules import RESERVED_HEADERS, is_token


def head_of(method: str, start: str, headers: Mapping[str, str], *, length: int | None) -> bytes:
    """Returns the head of a request. `start` follows the method; without a `length` the request has no body. Reserved
    headers are left out.

    Raises:
        ValueError: a header is invalid; the message does not repeat its value.
    """
    if not "".join(headers.values()).isprintable():  # a line break would begin another header
        name = next(_name(given) for given, value in headers.items() if not value.isprintable())
        raise ValueError(f"The value of the header {name} contains a control character.")
    lines = [method, start]
    for given, value in headers.items():
        if (prefix := _prefix(given)) is not None:
            lines += prefix, value, "\r\n"
    lines.append("\r\n" if length is None else f"content-length: {length}\r\n\r\n")
    try:
        return "".join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise ValueError("The value of a header contains a character that is not ASCII.") from None


@lru_cache(maxsize=256)
def _prefix(given: str) -> str | None:
    """Returns the beginning of the line of a header, or None for a reserved one."""
    name = _name(given)
    return f"{name}: " if name not in RESERVED_HEADERS else None


def _name(given: str) -> str:
    if not is_token(given):
        raise ValueError("The name of a header contains an invalid character.")
    return given.lower()
