"""Hints between nodes: sends what gathered and listens, over one connection that does nothing else."""

from duly.lifecycle.signals import Signals
from duly.store.database import Database
from duly.store.hints import listen, send_hints

IDLE_SECONDS = 5.0


class HintExchange:
    """Its step is a loop's. Without LISTEN (transaction pooling) there is none: everybody polls."""

    def __init__(self, database: Database, signals: Signals) -> None:
        self._connection = database.hot()
        self._signals = signals
        self._heard_by: int | None = None

    async def step(self) -> float:
        """Sends what gathered. Opens, and opens again, the connection that listens."""
        async with self._connection.use() as connection:
            pid = connection.get_server_pid()
            if pid != self._heard_by:
                await listen(connection, self._signals.hear)
                await send_hints(connection, [["hello"]])
                self._heard_by = pid
            hints = self._signals.take()
            if hints:
                await send_hints(connection, hints)
            else:
                await connection.execute("select 1")  # finds out that the connection broke
        return IDLE_SECONDS
