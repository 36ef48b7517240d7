"""Program that `fault_point_services` runs: it imports the service with its fault points once and forks services.

Each line on standard input starts one service, which saves the second that importing takes. The program prints the
child's process id, and later its exit code.
"""

import gc

from tests.support.fault_points import install

gc.set_threshold(50_000, 20, 50)  # imports make objects that stay, and nothing to collect
install()  # before any module of the service is imported

import asyncio  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
from collections.abc import AsyncIterator  # noqa: E402
from contextlib import asynccontextmanager  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import anyio._backends._asyncio  # noqa: E402, F401  # else each child imports it
import uvloop  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from duly.cli.http_server import http_server  # noqa: E402
from duly.domain.egress_policy import EgressPolicy  # noqa: E402
from duly.domain.node_role import Role  # noqa: E402
from duly.domain.sealing import Keyring  # noqa: E402
from duly.handlers.discovery import load_registry  # noqa: E402
from duly.node import Node, loop_table  # noqa: E402
from duly.outbound import client, connector  # noqa: E402
from duly.outbound.connection_pool import ConnectionPool  # noqa: E402
from duly.outbound.connector import Connector  # noqa: E402
from duly.outbound.resolver import AddressInfo, guarded_socket  # noqa: E402
from duly.settings import Settings  # noqa: E402
from duly.store.postgres.database import Database  # noqa: E402
from duly.store.webhooks.take_deliveries import Rooms  # noqa: E402
from duly.telemetry.structured_logs import configure_logs  # noqa: E402
from duly.webhooks import dispatcher, receiver_windows  # noqa: E402
from tests.support.shared_routes import app_of, shared_routes  # noqa: E402


def main() -> None:
    _tighten()
    # Modules that composing a node imports; imported here, children need not import them.
    _node(Settings(database_url=SecretStr("postgresql://nobody"), webhook_secret=SecretStr("none")))
    shared_routes(serving=True)
    # Keeps memory shared with the children: a garbage collection there would write to all of it.
    gc.collect()
    gc.freeze()
    _answer("ready")
    for line in sys.stdin:
        _fork(json.loads(line))


def _tighten() -> None:
    """Lowers limits, so that parts that are rarely full are full: waiting for space has fault points too."""
    setattr(dispatcher, "CONCURRENT", 6)  # noqa: B010  # it is imported there, not exported
    dispatcher.TOGETHER_SECONDS = 0.0  # only the newest job of a round is of the same day
    receiver_windows.AHEAD = 1
    loop_table.UPKEEP_AFTER_SECONDS = 0.0  # housekeeping has fault points, and services live for a second
    setattr(receiver_windows, "ReceiverWindow", partial(receiver_windows.ReceiverWindow, window=1))  # noqa: B010  # so that three at once are a crowd
    setattr(receiver_windows.ReceiverWindows, "rooms", _more_than_there_is)  # noqa: B010
    setattr(connector, "guarded_socket", _narrow)  # noqa: B010
    setattr(client, "ConnectionPool", partial(_small_pool, ConnectionPool))  # noqa: B010


def _more_than_there_is(_: receiver_windows.ReceiverWindows) -> Rooms:
    """Reports more capacity than there is, so that surplus deliveries are released."""
    return Rooms({}, others=20)


def _narrow(address: AddressInfo, *, egress: EgressPolicy) -> socket.socket:
    """Limits buffers, so that a large body does not fit at once."""
    made = guarded_socket(address, egress=egress)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    return made


def _small_pool(
    pool: type[ConnectionPool], connector: Connector, *, connections: int, per_origin: int
) -> ConnectionPool:
    return pool(connector, connections=connections, per_origin=min(2, per_origin))


def _fork(order: dict[str, Any]) -> None:
    child = os.fork()
    if child == 0:
        try:
            _become(order)
        except BaseException:  # a child never returns
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _answer(str(child))
    _, status = os.waitpid(child, 0)
    _answer(str(os.waitstatus_to_exitcode(status)))


def _answer(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _become(order: dict[str, Any]) -> None:
    os.setsid()
    os.environ.update(order["environment"])
    os.dup2(os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    configure_logs("json", "info")
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(_serve())


async def _serve() -> None:
    """Runs a node with the roles of the environment until SIGTERM; with an HTTP server if it has the role `api`."""
    node = _node(Settings())
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await node.start()
    async with _listening(node):
        await stopping.wait()
        await node.drain()
    await node.stop()


@asynccontextmanager
async def _listening(node: Node) -> AsyncIterator[None]:
    """Serves HTTP on a free port, and writes the address to the file FAULT_URL."""
    if Role.API not in node.settings.roles:
        yield
        return
    listening = socket.create_server(("127.0.0.1", 0))
    http = http_server(node, app_of(node))
    serving = asyncio.create_task(http.serve(sockets=[listening]))
    address = Path(os.environ["FAULT_URL"])
    begun = address.with_suffix(".begun")
    begun.write_text(f"http://127.0.0.1:{listening.getsockname()[1]}")
    begun.rename(address)  # who waits for the file finds the whole address
    yield
    http.stop()
    await serving


def _node(settings: Settings) -> Node:
    given = (settings.database_url, settings.webhook_secret)
    url, secret = (value.get_secret_value() for value in given if value is not None)
    keyring = Keyring.read(os.environ["FAULT_KEYS"])
    return Node(settings, Database(url), load_registry(settings.handlers), webhook_secret=secret, keyring=keyring)


if __name__ == "__main__":
    main()
