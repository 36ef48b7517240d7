"""Hints between nodes: NOTIFY on a connection of its own, never inside a writing transaction (which would serialise
all commits of the database), and one LISTEN for each process.
"""

import json
from collections.abc import Callable, Sequence
from hashlib import blake2b

from duly.store.postgres.database import Connection

# A channel is the whole database's: installations in other schemas have others. In `public` it is the one that releases
# before schemas had.
CHANNEL, SCHEMA_OF_CHANNEL = "duly", "public"
LONGEST_BYTES = 63

SCHEMA = "select coalesce(current_schema(), 'public')"
SEND = "select pg_notify($1, hint) from unnest($2::text[]) as hint"


def channel_of(schema: str) -> str:
    """The channel of the installation in this schema."""
    if schema == SCHEMA_OF_CHANNEL:
        return CHANNEL
    name = f"{CHANNEL}_{schema}"
    if len(name.encode()) <= LONGEST_BYTES:
        return name
    return f"{CHANNEL}_{blake2b(schema.encode(), digest_size=16).hexdigest()}"


async def send_hints(connection: Connection, channel: str, hints: Sequence[Sequence[object]]) -> None:
    await connection.execute(SEND, channel, [json.dumps(hint, ensure_ascii=False) for hint in hints])


async def listen(connection: Connection, hear: Callable[[object], None]) -> str:
    """Calls `hear` with each hint of another process for as long as the connection lives. Returns the channel."""
    channel = channel_of(await connection.fetchval(SCHEMA))
    own = connection.get_server_pid()

    def on_notify(_connection: Connection, sender: int, _channel: str, payload: str) -> None:
        if sender == own:
            return
        try:
            hint = json.loads(payload)
        except (ValueError, RecursionError):  # whoever sent it, it is no hint
            return
        hear(hint)

    await connection.add_listener(channel, on_notify)
    return channel
