"""NOTIFY and LISTEN: hints between nodes. NOTIFY uses a connection of its own, never a writing transaction (which would
serialize all commits of the database); each process has one LISTEN.
"""

import json
from collections.abc import Callable, Sequence
from hashlib import blake2b

from duly.store.postgres.database import Connection

# Channels are global to a database, so each schema has its own. That of `public` is the one of releases without
# schemas.
CHANNEL, SCHEMA_OF_CHANNEL = "duly", "public"
LONGEST_BYTES = 63

READ_SCHEMA = "select coalesce(current_schema(), 'public')"
SEND_HINTS = "select pg_notify($1, hint) from unnest($2::text[]) as hint"


def channel_of(schema: str) -> str:
    """Returns the channel of the installation in this schema."""
    if schema == SCHEMA_OF_CHANNEL:
        return CHANNEL
    name = f"{CHANNEL}_{schema}"
    if len(name.encode()) <= LONGEST_BYTES:
        return name
    return f"{CHANNEL}_{blake2b(schema.encode(), digest_size=16).hexdigest()}"


async def send_hints(connection: Connection, channel: str, hints: Sequence[Sequence[object]]) -> None:
    """Sends hints to all listeners."""
    await connection.execute(SEND_HINTS, channel, [json.dumps(hint, ensure_ascii=False) for hint in hints])


async def listen(connection: Connection, on_hint: Callable[[object], None]) -> str:
    """Calls `on_hint` with each hint of other processes as long as the connection is open. Returns the channel."""
    channel = channel_of(await connection.fetchval(READ_SCHEMA))
    own = connection.get_server_pid()

    def on_notify(_connection: Connection, sender: int, _channel: str, payload: object) -> None:
        if sender == own:
            return
        try:
            hint = json.loads(str(payload))
        except (ValueError, RecursionError):  # not a hint, from any sender
            return
        on_hint(hint)

    await connection.add_listener(channel, on_notify)
    return channel
