"""Faults of a chaos run. Each harms the world for a while and leaves it as it was: services up, database reachable."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg

from tests.chaos.database import STRUCK
from tests.chaos.facts import ACCEPTING, KILLED, LOST
from tests.chaos.fail_over import failed_over
from tests.chaos.world import LEASE_SECONDS, Program, World
from tests.support.fault_points import MODULES, points_of
from tests.support.service import eventually

LONGER_THAN_LEASE = 1.5 * LEASE_SECONDS
SERVING_SECONDS = 8.0
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
MOST_CONNECTIONS = 500


async def kill_nine(world: World) -> None:
    """SIGKILL of a service, which starts again after a moment."""
    async with world.one_member() as member:
        world.note(KILLED)
        await world.kill(member)
        await asyncio.sleep(world.random.uniform(0, 1.5 * LEASE_SECONDS))


async def kill_at_a_point(world: World) -> None:
    """SIGKILL of a service by itself, at a random `await` of its code; at none if it is not passed in time."""
    module = world.random.choice(MODULES)
    chosen = f"{world.random.choice(points_of(module))} {world.random.choice((1, 3))}"
    async with world.one_member() as member:
        await world.stop(member)
        world.begin(member, Program(("-m", "tests.chaos.fault_point"), environment=(("FAULT_POINT", chosen),)))

        async def killed() -> bool:
            return member.running.popen.poll() is not None

        with suppress(TimeoutError):
            await eventually(killed, seconds=2 * SERVING_SECONDS)
            world.note(KILLED)
            world.kills += 1
        print(f"      {'killed' if await killed() else 'not reached'}: {chosen}", flush=True)


async def drain(world: World) -> None:
    """SIGTERM, and a start once it has drained."""
    async with world.one_member() as member:
        await world.stop(member)


async def freeze(world: World) -> None:
    """SIGSTOP for longer than the lease, then SIGCONT: its attempts have been given to others."""
    async with world.one_member() as member:
        world.note(LOST)
        member.running.signal(signal.SIGSTOP)
        await asyncio.sleep(LONGER_THAN_LEASE)
        member.running.signal(signal.SIGCONT)
        world.note(LOST)


async def wrong_clock(world: World) -> None:
    """A service whose clock is an hour ahead or behind."""
    assert LIBRARY is not None
    clock = (("LD_PRELOAD", str(LIBRARY)), ("FAKETIME", world.random.choice(("+1h", "-1h"))))
    async with world.one_member() as member:
        await world.stop(member)
        world.begin(member, Program(environment=clock))
        await world.ready(member)
        await asyncio.sleep(SERVING_SECONDS)


async def upgrade(world: World) -> None:
    """A rolling upgrade: a service of the previous commit serves beside the others, then the present one again."""
    assert world.previous is not None
    async with world.one_member() as member:
        await world.stop(member)
        world.begin(member, Program(packages=(world.previous / "app",)))
        await world.ready(member)
        await asyncio.sleep(SERVING_SECONDS)


async def _strike(world: World, number: signal.Signals) -> None:
    async with world.restarting:
        world.note(LOST)
        await world.database.strike(number)
        world.note(ACCEPTING)
        world.kills += 1
    await world.all_ready()


async def restart_database(world: World) -> None:
    """Orderly restart of the database, with open transactions rolled back."""
    await _strike(world, signal.SIGINT)


async def crash_database(world: World) -> None:
    """Immediate stop or SIGKILL of the database, which recovers from its log."""
    await _strike(world, world.random.choice((signal.SIGQUIT, signal.SIGKILL)))


async def fail_over(world: World) -> None:
    """Shutdown or SIGKILL of the database, whose synchronous standby is promoted; later, a restart of that one."""
    async with world.restarting:
        number = world.random.choice((signal.SIGINT, signal.SIGKILL))
        async with failed_over(world.database, number, partial(world.note, LOST)):
            world.note(ACCEPTING)
            world.kills += 1
            await world.all_ready()
            await asyncio.sleep(SERVING_SECONDS)
        world.note(ACCEPTING)
    await world.all_ready()


async def fill_disk(world: World) -> None:
    """The disk of the database has no space for some seconds."""
    async with world.restarting:
        world.note(LOST)
        async with world.database.full_disk():
            await asyncio.sleep(world.random.uniform(1, 6))
    await world.all_ready()


async def end_sessions(world: World) -> None:
    """Storm of `pg_terminate_backend` over all sessions of the services."""
    for _ in range(10):
        await world.database.end_backends()
        await asyncio.sleep(world.random.uniform(0, 0.3))


async def deafen(world: World) -> None:
    """Terminates the sessions that listen for notifications."""
    for _ in range(5):
        await world.database.end_backends("listen %")
        await asyncio.sleep(0.5)


async def cut_connections(world: World) -> None:
    """Resets all connections to the database, some in the middle of a message."""
    for _ in range(8):
        for proxy in world.database.proxies:
            proxy.cut()
        await asyncio.sleep(world.random.uniform(0, 0.5))


async def stall(world: World) -> None:
    """Half-open connections: nothing comes through for longer than the lease, and no connection is reset."""
    world.note(LOST)
    async with world.database.all_stalled():
        await asyncio.sleep(LONGER_THAN_LEASE)
    world.note(LOST)


async def isolate(world: World) -> None:
    """Half-open connections of one service, until others run its jobs; then all that it has sent arrives."""
    async with world.one_member(role="worker") as member:
        world.note(LOST)
        with member.proxy.stalled():
            await world.database.node_lost(seconds=3 * LEASE_SECONDS)
            await asyncio.sleep(0.7)
        world.note(LOST)


async def slow_network(world: World) -> None:
    """200 ms of latency on each message from and to the database."""
    async with world.database.all_slow(0.2):
        await asyncio.sleep(8)


async def use_up_connections(world: World) -> None:
    """Takes all connections that the database has left, for some seconds."""
    taken: list[asyncpg.Connection] = []
    with suppress(*STRUCK):
        while len(taken) < MOST_CONNECTIONS:
            taken.append(await asyncpg.connect(world.database.direct_url))
    await asyncio.sleep(4)
    for connection in taken:
        connection.terminate()


async def slow_disk(world: World) -> None:
    """A tenth of a second for each commit, so that transactions overlap, and end in another order than they began."""
    async with world.database.session() as connection:
        for statement in ("set commit_delay = 100000", "set commit_siblings = 0"):
            await connection.execute(f"alter system {statement}")
        await connection.execute("select pg_reload_conf()")
        try:
            await asyncio.sleep(SERVING_SECONDS)
        finally:
            await world.database.reset_settings()


async def flap(world: World) -> None:
    """The receiver refuses everything for a while."""
    world.receiver.flapping = True
    await asyncio.sleep(6)
    world.receiver.flapping = False


async def hold_snapshot(world: World) -> None:
    """A long transaction of another program holds the oldest snapshot, so that nothing can be vacuumed."""
    async with world.database.session() as connection, connection.transaction(isolation="repeatable_read"):
        await connection.fetchval("select txid_current()")
        await asyncio.sleep(8)


# A session that is terminated while its commit waits for the standby shows others what the standby may not have.
ALONE = {"fail-over"}

Fault = Callable[[World], Awaitable[None]]
FAULTS: Final[dict[str, Fault]] = {
    fault.__name__.replace("_", "-"): fault
    for fault in (
        *(kill_nine, kill_at_a_point, drain, freeze, wrong_clock, upgrade),
        *(
            restart_database,
            crash_database,
            fail_over,
            fill_disk,
            end_sessions,
            deafen,
            use_up_connections,
            hold_snapshot,
        ),
        *(cut_connections, stall, isolate, slow_network, slow_disk, flap),
    )
}


def lacking(world: World) -> dict[str, str]:
    """Returns the faults that cannot be caused here, each with what is missing."""
    reasons = {
        "wrong-clock": "" if LIBRARY else "there is no libfaketime: apt-get install faketime",
        "upgrade": "" if world.previous else "the history has no previous commit: fetch it in full",
        "fill-disk": "" if world.database.disk else "no file system can be mounted: that needs root",
    }
    return {name: reason for name, reason in reasons.items() if reason}


async def cause(world: World, name: str) -> None:
    """Causes a fault. Errors of its own session with the database are part of what several faults do together."""
    with suppress(*STRUCK):
        await FAULTS[name](world)
