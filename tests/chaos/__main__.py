"""`python -m tests.chaos`: runs several services under load and faults, and checks what outsiders saw."""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.checker import shown, violations
from tests.chaos.collect import await_ends, check_command, deliveries_done, end_schedule, followers_done, records
from tests.chaos.database import chaos_database
from tests.chaos.facts import (
    Accepted,
    Facts,
    Moment,
    database_recoveries,
    drain_recoveries,
    lease_recoveries,
    lines_of,
)
from tests.chaos.faults import ALONE, FAULTS, cause, lacking
from tests.chaos.followers import follow_all, follow_by_socket, follow_job, poll_events, poll_state
from tests.chaos.seeded_bugs import BUGS
from tests.chaos.traffic import TYPES, ChaosReceiver, Nodes, Producer, declare, work_over_http
from tests.chaos.world import LEASE_SECONDS, Member, Program, World
from tests.support.earlier_release import unpack
from tests.support.service_process import starting_processes
from tests.support.tcp_servers import free_port, tcp_server

ALL = ("api", "worker", "dispatcher", "sweeper")
ROLES = (("api", "dispatcher", "sweeper"), ALL, ALL)
PREVIOUS = "HEAD~1"
STREAMED_JOBS = 1_000
PAUSE_SECONDS = 2.0
TOGETHER = 0.3
BUG_RUNS = 4
SINGLES_SECONDS = 90.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="how long to submit and to harm")
    parser.add_argument("--once", action="store_true", help="end sooner, when each fault has happened once")
    parser.add_argument("--rate", type=float, default=15.0, help="submissions per second, at most")
    parser.add_argument("--seed", type=int, default=None, help="repeats the faults of a run; default: a new one")
    parser.add_argument("--faults", default=",".join(FAULTS), help="comma-separated; default: all, in random order")
    parser.add_argument("--types", default=",".join(TYPES), help="comma-separated; job types to submit")
    parser.add_argument(
        "--bug", choices=tuple(BUGS), help="runs services with a bug that must be found, with its faults and types"
    )
    return parser.parse_args()


class Run:
    """One chaos run. `facts` is complete after `go`."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments = arguments
        self.seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)  # noqa: S311
        (
            self.order,
            self.details,
            self.traffic,
        ) = (  # apart, so that the order does not depend on the speed of the others
            random.Random(f"{self.seed} {name}")  # noqa: S311
            for name in ("order", "details", "traffic")
        )
        self.folder = folder
        self.facts = Facts()
        self.struck: Counter[str] = Counter()
        self.moments: list[Moment] = []
        self.kills = 0

    async def go(self) -> None:
        receiver = ChaosReceiver()
        async with (
            chaos_database(len(ROLES)) as database,
            starting_processes(self.folder) as processes,
            tcp_server(receiver.serve) as receiver_url,
        ):
            parts = zip("abc", ROLES, database.proxies, strict=True)
            members = [Member(name, free_port(), roles, proxy) for name, roles, proxy in parts]
            lines, previous = self.folder / "lines", self.folder / "previous"
            bug = self.arguments.bug
            usual = Program(("-m", "tests.chaos.seeded_bugs", bug)) if bug else None
            history = previous if unpack(PREVIOUS, previous) else None
            world = World(database, processes, members, receiver, lines, self.details, usual, history)
            migration = processes.run("migrate", DULY_DATABASE_URL=database.direct_url)
            assert await migration.ended() == 0, migration.stderr
            for member in members:
                world.begin(member)
            await world.all_ready()
            await self._load(world, receiver_url)
            self.facts.told = receiver.told
            boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
            self.facts.ran = lines_of(lines, boot=boot)
            self.facts.checked = await check_command(processes, database.direct_url)
            self.kills, self.moments = world.kills, world.moments

    async def _load(self, world: World, receiver_url: str) -> None:
        urls = [member.url for member in world.members]
        nodes, stop, ended = Nodes(urls), asyncio.Event(), asyncio.Event()
        await declare(nodes, receiver_url)
        producer = Producer(nodes, receiver_url, self.traffic, self.arguments.types.split(","))
        async with asyncio.TaskGroup() as tasks:
            followers = await self._follow_all(urls, tasks)
            working = tasks.create_task(work_over_http(nodes, ended, self.traffic, lines=str(world.lines)))
            producing = tasks.create_task(producer.run(stop, per_second=self.arguments.rate))
            singles = tasks.create_task(self._follow_some(nodes, producer, stop, ended))
            await self._harm(world)
            print("  all faults are over", flush=True)
            stop.set()
            await producing
            await self._await_ends(nodes, producer)
            ended.set()
            await working
            await singles
            await self._collect(nodes, producer)
            await deliveries_done(world.database)
            await followers_done(self.facts, [job_id for job_id, each in self.facts.records.items() if each.ends])
            for follower in followers:
                follower.cancel()
        await nodes.client.aclose()

    async def _follow_all(self, urls: list[str], tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Begins to follow all jobs, from each node first, and by a socket."""
        streamed, begun = self.facts.streamed, [asyncio.Event() for _ in range(4)]
        names = [f"stream of all jobs from {name}" for name in "abc"]
        followers = [
            tasks.create_task(follow_all(urls[n:] + urls[:n], name, streamed, begun[n])) for n, name in enumerate(names)
        ]
        followers.append(tasks.create_task(follow_by_socket(urls[1:], "socket of all jobs", streamed, begun[3])))
        await asyncio.gather(*(event.wait() for event in begun))
        self.facts.whole_streams = {*names, "socket of all jobs"}
        return followers

    async def _await_ends(self, nodes: Nodes, producer: Producer) -> None:
        self.facts.scheduled = await end_schedule(nodes)
        runs = [Accepted(run["jobId"], f"schedule at {run['dueAt']}") for run in self.facts.scheduled]
        self.facts.accepted, self.facts.refused = [*producer.accepted, *runs], producer.refused
        await await_ends(nodes, [accepted.job_id for accepted in self.facts.accepted])

    async def _collect(self, nodes: Nodes, producer: Producer) -> None:
        batches = {batch: await nodes.request("GET", f"/api/v1/batches/{batch}") for batch in producer.batches}
        self.facts.batches = [
            {"batchId": batch, **(answer.json() if answer.status_code == 200 else {})}
            for batch, answer in batches.items()
        ]
        self.facts.records = await records(nodes, self.facts)

    async def _follow_some(self, nodes: Nodes, producer: Producer, stop: asyncio.Event, ended: asyncio.Event) -> None:
        """Follows single jobs from their submission on, on all channels, several at a time."""
        followed: set[str] = set()
        tasks: set[asyncio.Task[None]] = set()
        while not stop.is_set() and len(followed) < STREAMED_JOBS:
            for accepted in producer.accepted[-2:]:
                if accepted.job_id not in followed:
                    followed.add(accepted.job_id)
                    tasks.add(asyncio.create_task(follow_job(nodes.urls, accepted.job_id, self.facts.streamed)))
                    tasks.add(asyncio.create_task(poll_events(nodes, accepted.job_id, self.facts.streamed)))
                    tasks.add(asyncio.create_task(poll_state(nodes, accepted.job_id, self.facts.glimpses)))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1)
        await ended.wait()
        done, late = await asyncio.wait(tasks, timeout=SINGLES_SECONDS) if tasks else (tasks, tasks)
        for task in late:
            print("  a job that is followed has not ended", flush=True)
            task.cancel()
        for task in done:
            task.result()

    async def _harm(self, world: World) -> None:
        """Causes faults in random order, most of them alone and some two at a time."""
        missing = lacking(world)
        print("".join(f"  without {name}: {reason}\n" for name, reason in missing.items()), end="")
        names = [name for name in self.arguments.faults.split(",") if name not in missing]
        ends = time.monotonic() + self.arguments.minutes * 60
        due: list[str] = []
        while time.monotonic() < ends and not (self.arguments.once and self.struck and not due):
            due = due or self.order.sample(names, len(names))
            chosen = [due.pop()]
            if due and self.order.random() < TOGETHER and not ALONE & {*chosen, due[-1]}:
                chosen.append(due.pop())
            self.struck.update(chosen)
            print(f"  {self.struck.total():3} {' and '.join(chosen)}", flush=True)
            await asyncio.sleep(self.details.uniform(0.2, 1) * PAUSE_SECONDS)
            await asyncio.gather(*(cause(world, name) for name in chosen))
        await world.all_ready()

    def table(self, found: list[str]) -> str:
        """Returns what happened, as Markdown."""
        begun = Counter(ran.job_id for ran in self.facts.ran if ran.word == "begin")
        everything = self.facts.records.values()
        rows = {
            "seed": self.seed,
            "jobs accepted; of a schedule": f"{len(self.facts.accepted):,}; {len(self.facts.scheduled):,}",
            "faults": f"{self.struck.total()} of {len(self.struck)} kinds",
            "processes and servers killed": self.kills,
            "frames, webhooks read": f"{len(self.facts.streamed):,}, {len(self.facts.told):,}",
            "jobs whose handler was called more than once (allowed)": sum(times > 1 for times in begun.values()),
            "violations": len(found),
            "SIGKILL until a job of it runs again": _times(
                lease_recoveries(everything, self.moments, within=1.5 * LEASE_SECONDS)
            ),
            "database accepts until a job is claimed": _times(database_recoveries(everything, self.moments)),
            "a drain releases a job until it runs elsewhere": _times(drain_recoveries(everything)),
        }
        return "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _times(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    middle, last = seconds[len(seconds) // 2], seconds[-1]
    return f"median {middle:.2f} s, longest {last:.2f} s, of {len(seconds)}"


def _performed(arguments: argparse.Namespace) -> list[str]:
    """Performs a run and prints its table. Returns the violations."""
    with tempfile.TemporaryDirectory(prefix="duly-chaos-") as folder:
        run = Run(arguments, Path(folder))
        rate = f"{arguments.rate:g} submissions a second"
        with_bug = f", with the bug {arguments.bug}" if arguments.bug else ""
        print(f"chaos: seed {run.seed}, {arguments.minutes:g} minutes, {rate}{with_bug}", flush=True)
        asyncio.run(run.go())
    found = violations(run.facts)
    print(run.table(found), flush=True)
    return found


def _seek_bug(arguments: argparse.Namespace) -> None:
    """Runs services with a bug, which may need several runs to show. Exits with 1 if it is not found."""
    bug = BUGS[arguments.bug]
    arguments.faults, arguments.types = bug.faults, bug.types or arguments.types
    for _ in range(BUG_RUNS):
        if seen := [sentence for sentence in _performed(arguments) if bug.found in sentence]:
            print(f"  the bug was found: {seen[0]}", flush=True)
            return
    sys.exit(f'the bug {arguments.bug} was not found in {BUG_RUNS} runs: no violation said "{bug.found}"')


def main() -> None:
    """Performs a run. Exits with 1 for violations; for a seeded bug, unless it was found."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what it has started, as CTRL-C does
    if arguments.bug:
        _seek_bug(arguments)
    elif found := _performed(arguments):
        sys.exit(shown(found))


if __name__ == "__main__":
    main()
