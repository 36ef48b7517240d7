"""Start of what the services of a test run share: a database server, whose data stays in the user's cache."""

import asyncio
import gc
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest

from duly import __version__
from duly.embedded.server import EmbeddedError, EmbeddedServer, embedded_server
from duly.store.schema.migrations_folder import migrations_folder

if TYPE_CHECKING:
    from duly.pytest_plugin.service import Services

UNUSED_SECONDS = 7 * 86_400
_PREFIX = "pytest-"


@contextmanager
def open_services(cache: str = "") -> Iterator["Services"]:
    """Starts the server, and yields what runs services on it. Afterwards it stops the server, unless another test run
    uses it.

    Args:
        cache: folder for the data of the server; "" for that of the user.
    """
    folder = _folder_in(Path(cache).absolute() if cache else _users_cache())
    with ExitStack() as stack:
        try:
            with ThreadPoolExecutor(1) as starting:
                started = starting.submit(stack.enter_context, embedded_server(folder))
                _import_services()  # takes longer than the start of the server
                server = started.result()
        except EmbeddedError as error:
            pytest.fail(str(error), pytrace=False)
        loop = stack.enter_context(_loop())
        yield stack.enter_context(_services(server, loop))


def _users_cache() -> Path:
    """Returns the user's cache folder. For root it is a system folder, because the server's user must be able to enter
    it.
    """
    return Path("/var/cache/duly") if os.geteuid() == 0 else platformdirs.user_cache_path("duly", appauthor=False)


def _folder_in(cache: Path) -> Path:
    """Returns the folder of the server, another one for each schema. Removes those that were not used for a week."""
    migrations = sorted((migrations_folder() / "versions").glob("*.py"))
    digest = sha256(b"".join([__version__.encode(), *(path.read_bytes() for path in migrations)])).hexdigest()
    folder = cache / f"{_PREFIX}{digest[:12]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.utime(folder)
    now = folder.stat().st_mtime
    for other in cache.glob(f"{_PREFIX}*"):
        if now - other.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _import_services() -> None:
    """Imports the service without garbage collections, which would find nothing."""
    collects = gc.isenabled()
    gc.disable()
    try:
        import duly.pytest_plugin.service  # noqa: F401, PLC0415  # half a second, while the server starts
    finally:
        if collects:
            gc.enable()


@contextmanager
def _services(server: EmbeddedServer, loop: asyncio.AbstractEventLoop) -> Iterator["Services"]:
    from duly.pytest_plugin.service import Services  # noqa: PLC0415  # imported above

    services = Services(server, loop)
    try:
        yield services
    finally:
        services.close()


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Yields an event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="duly-services", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
