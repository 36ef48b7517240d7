"""Services under test: one for each test, in an event loop that the test does not run in."""

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from duly.cli.http_server import http_server
from duly.cli.prepare_database import prepare
from duly.client import Client
from duly.domain.builtin_types import chosen_builtin_types
from duly.domain.sealing import Keyring, new_key
from duly.embedded.server import EmbeddedServer
from duly.handlers.builtin import builtin_handlers
from duly.handlers.discovery import users_handlers
from duly.handlers.http_request import client_for_jobs
from duly.handlers.registry import Handlers, RegisteredHandler, Registry
from duly.node import Node
from duly.pytest_plugin.logs import log_to_logging
from duly.settings import Settings
from duly.store.postgres.database import Database
from duly.store.postgres.scratch_databases import open_scratch_databases

Result = TypeVar("Result")

SECRET = "whsec_ZHVseS1weXRlc3QtcGx1Z2lu"  # noqa: S105  # signs webhooks of tests
# What a test should not wait for, and what it calls: receivers on its own machine.
DEFAULTS: dict[str, Any] = {
    "port": 0,
    "access_log": False,
    "shutdown_grace_seconds": 0,
    "webhook_allow_networks": ("127.0.0.0/8", "::1/128"),
}


@dataclass(frozen=True)
class Service:
    """Running service.

    Attributes:
        url: its address.
        database_url: its database.
        api_key: the key in its settings, if there is one.
    """

    url: str
    database_url: str
    api_key: str | None = None

    def connect(self) -> Client:
        """Returns a new client."""
        return Client(self.url, api_key=self.api_key)


def settings_of(options: dict[str, Any]) -> Settings:
    """Returns the settings of a service, without those of the environment."""
    chosen = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    return Settings(**{**chosen, **DEFAULTS, **options})


def registry_of(handlers: Sequence[str | Handlers], settings: Settings) -> Registry:
    """Returns the job types of modules, of `Handlers` objects, and the built-in ones."""
    client = client_for_jobs(settings)
    modules = [each for each in handlers if isinstance(each, str)]
    found = [
        builtin_handlers(client, chosen=chosen_builtin_types(settings.builtin_types)),
        *users_handlers(modules),
        *(each for each in handlers if isinstance(each, Handlers)),
    ]
    distinct = {id(each): each for each in found}.values()
    schedules = [schedule for each in distinct for schedule in each.schedules()]
    types = (_here(handler) for each in distinct for handler in each)
    return Registry(types, schedules=schedules, closing=client.aclose)


def _here(handler: RegisteredHandler) -> RegisteredHandler:
    """Returns the handler with an isolation in this process, which a debugger and a monkeypatch reach."""
    if handler.isolation != "process":
        return handler
    return replace(handler, isolation="task" if inspect.iscoroutinefunction(handler.function) else "thread")


class Services:
    """Services of a test run, one for each test that needs one.

    Args:
        server: their database server.
        loop: their event loop, which runs in another thread.
    """

    def __init__(self, server: EmbeddedServer, loop: asyncio.AbstractEventLoop) -> None:
        log_to_logging()
        self._loop = loop
        url_of = partial(_with_name, server.url)
        # The first run on a server creates the template of the databases, which takes seconds.
        self._databases = self._wait(open_scratch_databases(url_of, _migrate))

    @contextmanager
    def running(self, *, handlers: Sequence[str | Handlers] = (), **options: Any) -> Iterator[Service]:
        """Runs a service while the block runs.

        Args:
            handlers: modules, or `Handlers` objects.
            options: settings, in lower case and without `DULY_`.

        Raises:
            ValidationError: a setting is invalid.
            HandlerError: a module cannot be used.
        """
        settings = settings_of(options)
        registry = registry_of(handlers, settings)
        key = settings.api_key.get_secret_value() if settings.api_key is not None else None
        name, url = self._wait(self._databases.create())
        stack = AsyncExitStack()
        try:
            address = self._wait(stack.enter_async_context(_running(url, settings, registry)))
            yield Service(address, url, key)
        finally:
            self._wait(stack.aclose())
            self._loop.call_soon_threadsafe(self._databases.drop, name)

    def close(self) -> None:
        """Disconnects from the server."""
        self._wait(self._databases.close())

    def _wait(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Runs a coroutine in the loop of the services."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _with_name(url: str, name: str) -> str:
    """Returns the URL of another database of the embedded server."""
    return url.replace("/duly?", f"/{name}?", 1)


async def _migrate(url: str) -> None:
    database = Database(url)
    try:
        await prepare(database, migrates=True)
    finally:
        await database.close()


@asynccontextmanager
async def _running(database_url: str, settings: Settings, registry: Registry) -> AsyncIterator[str]:
    """Runs a service while the block runs. Yields its address."""
    database = Database(database_url, connections=settings.database_connections)
    await prepare(database, migrates=False)
    node = Node(settings, database, registry, webhook_secret=SECRET, keyring=Keyring.read(new_key()))
    await node.start()
    http = http_server(node)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        serving = asyncio.create_task(http.serve(sockets=[listening]))
        await asyncio.wait([serving, asyncio.create_task(http.accepting.wait())], return_when="FIRST_COMPLETED")
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            await node.drain()
            http.stop()
            await serving
            await node.stop()
