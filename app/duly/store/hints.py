"""Hints between nodes: NOTIFY on a connection of its own, never inside a writing transaction (which would serialise
all commits of the database), and one LISTEN for each process.
"""

import json
from collections.abc import Callable, Sequence

from duly.store.database import Connection

CHANNEL = "duly"

SEND = f"select pg_notify('{CHANNEL}', hint) from unnest($1::text[]) as hint"


async def send_hints(connection: Connection, hints: Sequence[Sequence[object]]) -> None:
    await connection.execute(SEND, [json.dumps(hint, ensure_ascii=False) for hint in hints])


async def listen(connection: Connection, hear: Callable[[object], None]) -> None:
    """Calls `hear` with each hint of another process for as long as the connection lives."""
    own = connection.get_server_pid()

    def on_notify(_connection: Connection, sender: int, _channel: str, payload: str) -> None:
        if sender == own:
            return
        try:
            hint = json.loads(payload)
        except (ValueError, RecursionError):  # whoever sent it, it is no hint
            return
        hear(hint)

    await connection.add_listener(CHANNEL, on_notify)
