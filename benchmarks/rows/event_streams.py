"""S8: memory of an idle stream of all jobs, and events a second to many streams at once, by one process."""

import contextlib
import http.client
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.contestants import (
    API_ONLY,
    DULY_SERVICE,
    STARLETTE_STREAMS,
    Contestant,
    Running,
    Start,
    clean_environment,
    running,
)
from benchmarks.peers.line_process import LineProcess, run_line_process
from benchmarks.processes import ContestantFailed, cores, resident_bytes
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext
from benchmarks.stream_followers import OPEN_SECONDS, FollowersPlan
from benchmarks.submissions import MANY_PATH, many

PATH = "/api/v1/events/stream"
EVENT_SECONDS = 60.0
SPARE_CONNECTIONS = 100
KIBIBYTE = 1024


def measure(context: RunContext) -> list[Result]:
    sizes = context.sizes
    limit = str(max(sizes.idle_streams, sizes.broadcast_streams) + SPARE_CONNECTIONS)
    limits = {"DULY_STREAM_LIMIT": limit, "DULY_CONNECTION_LIMIT": limit, "DULY_CONNECTIONS_PER_ADDRESS": limit}
    start = Start(roles=API_ONLY, environment=limits)

    def one_round(contestant: Contestant) -> Round:
        with running(contestant, context, start) as service:
            kibibytes = idle_kibibytes(context, service)
        with running(contestant, context, start) as service:
            sent = broadcast(context, service)
        return Round({"rate": sent.figures["rate"], "stream_kib": kibibytes, **sent.figures}, sent.cores)

    return alternate("S8", (DULY_SERVICE, STARLETTE_STREAMS), context=context, measure=one_round)


def idle_kibibytes(context: RunContext, service: Running) -> float:
    """Returns by how much the service grows with each stream that receives nothing."""
    with followers(context, FollowersPlan(service.port, PATH, streams=1, events=1, seconds=EVENT_SECONDS)):
        before = resident_bytes(service.pid)
    plan = FollowersPlan(service.port, PATH, context.sizes.idle_streams, events=1, seconds=EVENT_SECONDS)
    with followers(context, plan):
        return (resident_bytes(service.pid) - before) / plan.streams / KIBIBYTE


def broadcast(context: RunContext, service: Running) -> Round:
    """Submits a batch, whose events all streams receive. The time is that from the request to the last event."""
    sizes = context.sizes
    events = sizes.broadcast_events
    plan = FollowersPlan(service.port, PATH, sizes.broadcast_streams, events, EVENT_SECONDS)
    with followers(context, plan) as process, cores(service=service.pid, postgres=context.server.pid) as used:
        began = time.time()
        submit(service.port, events)
        line = process.line(EVENT_SECONDS + OPEN_SECONDS)
    if line is None:
        raise ContestantFailed(f"no outcome of {process.name}")
    followed = json.loads(line)
    missing = events * plan.streams - followed["received"]
    seconds = max(followed["last_at"] - began, 1e-9)
    return Round({"rate": followed["received"] / seconds, "errors": float(missing)}, used.used)


def submit(port: int, jobs: int) -> None:
    """Submits a batch of jobs, which only wait, in one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=EVENT_SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", MANY_PATH, many(jobs), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
    if response.status != http.client.ACCEPTED:
        raise ContestantFailed(f"POST {MANY_PATH} responded with {response.status}")


@contextlib.contextmanager
def followers(context: RunContext, plan: FollowersPlan) -> Iterator[LineProcess]:
    """Runs followers for the length of the block, which begins when all their streams are open."""
    command = [sys.executable, "-m", "benchmarks.stream_followers", json.dumps(asdict(plan))]
    log = context.folder / "followers.log"
    with run_line_process("the followers", command, environment=clean_environment(), log=log) as process:
        if process.line(2 * OPEN_SECONDS) is None:
            raise ContestantFailed(f"{plan.streams} streams were not open within {2 * OPEN_SECONDS:g} s")
        yield process
