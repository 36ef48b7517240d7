"""API nodes behind a relay, started one after another on the same database while jobs run elsewhere."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.support.browser import Relay
from tests.support.service import running_service


class Restarts:
    """Starts services behind a relay, one after another on the same database; jobs run elsewhere."""

    def __init__(self, database_url: str, relay: Relay, settings: dict[str, Any]) -> None:
        self._database_url, self._relay, self._settings = database_url, relay, settings
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        service = running_service(self._database_url, roles=("api",), **self._settings)
        self._relay.target = (await self._stack.enter_async_context(service)).url

    async def stop(self) -> None:
        self._relay.target = None
        await self._stack.aclose()


@asynccontextmanager
async def restarts(database_url: str, relay: Relay, **settings: Any) -> AsyncIterator[Restarts]:
    made = Restarts(database_url, relay, settings)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
