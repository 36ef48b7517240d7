"""Live service of a behaviour, at an address that stays the same across restarts, and the client that is tested."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from duly.client import AsyncClient, Client
from tests.client.behaviours.callers import AsyncCaller, Caller, SyncCaller
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

# Starts a service with some settings, each time on the same database.
Start: TypeAlias = Callable[..., AbstractAsyncContextManager[Service]]
# Opens a client of the service at a URL, with an API key or without.
Open: TypeAlias = Callable[[str, str | None], AbstractAsyncContextManager[Caller]]


@dataclass(frozen=True)
class TestedClient:
    """Client in one language.

    Attributes:
        name: name in the test's ID.
        open: opens the client.
        settings: settings of the service that the client needs, such as `allowed_origins`.
    """

    __test__ = False
    name: str
    open: Open
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Stage:
    """Running service, as its client sees it.

    Attributes:
        url: address of the service.
        service: the service as other tests use it, not through the client.
        caller: the client.
        receiver: receiver of webhooks.
        open: opens a further client.
        settings: settings of the service.
        running: starts the service.
        proxy: what the client is connected to.
        stack: stops the service.
    """

    url: str
    service: Service
    caller: Caller
    receiver: Receiver
    open: Open
    settings: Mapping[str, Any]
    running: Start
    proxy: CuttingProxy
    stack: AsyncExitStack

    async def stop(self) -> None:
        """Stops the service: connections are reset, and new ones as well."""
        self.proxy.target = None
        await self.stack.aclose()
        self.proxy.reset_all()

    async def start(self) -> None:
        """Starts the service again, at the same address and on the same database."""
        self.service = await self.stack.enter_async_context(self.running(**self.settings))
        self.proxy.target = self.service.url

    async def restart(self) -> None:
        """Stops the service, and starts it again."""
        await self.stop()
        await self.start()

    async def requested(self, part: str, *, exactly: bool = False) -> None:
        """Waits until a request whose target has this part (or, `exactly`, ends with it) has been sent."""

        async def look() -> bool:
            targets = [target for _, target, _ in self.proxy.heads]
            return any(target.endswith(part) if exactly else part in target for target in targets)

        await eventually(look)


@asynccontextmanager
async def staged(client: TestedClient, running: Start, receiver: Receiver) -> AsyncIterator[Stage]:
    """Starts a service, and opens a client of it."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running(**client.settings))
        async with cutting_proxy(service.url) as proxy, client.open(proxy.url, None) as caller:
            yield Stage(proxy.url, service, caller, receiver, client.open, client.settings, running, proxy, stack)


@asynccontextmanager
async def _sync_client(url: str, api_key: str | None) -> AsyncIterator[Caller]:
    with Client(url, api_key=api_key) as client:
        yield SyncCaller(client)


@asynccontextmanager
async def _async_client(url: str, api_key: str | None) -> AsyncIterator[Caller]:
    async with AsyncClient(url, api_key=api_key) as client:
        yield AsyncCaller(client)


PYTHON_CLIENTS = (TestedClient("python", _sync_client), TestedClient("python-async", _async_client))
