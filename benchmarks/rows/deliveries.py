"""S5b: signed deliveries from a full outbox, to one endpoint and to many; nobody dispatches before.

The time lies between the first webhook that is received and the last: how long a process takes to start is row F1's.
"""

import contextlib
import sys
from collections.abc import Iterator

from benchmarks import naive_dispatcher
from benchmarks.contestants import DULY_ITSELF, NAIVE, Contestant, Start, clean_environment, running
from benchmarks.ground import Ground, Kind
from benchmarks.outboxes import ENVIRONMENT, filled, forget_outboxes
from benchmarks.peers.conversation import conversation
from benchmarks.processes import ContestantFailed, cores
from benchmarks.receiver import ReceiverPlan
from benchmarks.receiving import receiving
from benchmarks.rounds import Result, Round, alternate
from benchmarks.rows.posts import AIOHTTP, HTTPX, posted

DELIVER_SECONDS = 90.0
SETTLE_SECONDS = 15.0
LEFT = "select (not exists (select from deliveries))::int"
# What a client does with no outbox behind it: what the target is a multiple of.
HTTPX_ALONE = Contestant("posts alone: httpx, default transport", Kind.PEER)
AIOHTTP_ALONE = Contestant(f"posts alone: {AIOHTTP.name}", Kind.PEER)
ALONE = {HTTPX_ALONE: HTTPX, AIOHTTP_ALONE: AIOHTTP}


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        if contestant in ALONE:
            return posted(ALONE[contestant], ground)
        one = emptied(contestant, ground, endpoints=1)
        many = emptied(contestant, ground, endpoints=ground.sizes.endpoints)
        errors = one.figures["errors"] + many.figures["errors"]
        rates = {"rate": one.figures["rate"], "rate_to_many": many.figures["rate"]}
        return Round(rates | {"errors": errors}, one.cores)

    try:
        return alternate("S5b", (DULY_ITSELF, NAIVE, *ALONE), ground=ground, measure=one_round)
    finally:
        forget_outboxes(ground)


def emptied(contestant: Contestant, ground: Ground, *, endpoints: int) -> Round:
    """An outbox with as many webhooks to each endpoint, until all have come and the outbox knows it."""
    duly, sizes = contestant.kind is Kind.DULY, ground.sizes
    deliveries = (sizes.deliveries if duly else sizes.naive_deliveries) // endpoints * endpoints
    with receiving(ground, ReceiverPlan(ports=endpoints)) as receiver:
        database = filled(ground, contestant.kind, deliveries=deliveries, ports=receiver.ports)
        ground.server.execute(database, "checkpoint")
        with dispatching(contestant, ground, database) as pid:
            with cores(dispatcher=pid, postgres=ground.server.pid, receiver=receiver.pid) as used:
                receiver.wait_for(deliveries, within_seconds=DELIVER_SECONDS)
            left = LEFT if duly else naive_dispatcher.LEFT
            settled = ground.server.wait_for(database, left, wanted=1, within_seconds=SETTLE_SECONDS)
        came = receiver.ended()
    ground.drop(database)
    if not came.received:
        raise ContestantFailed(f"no webhook that can be read came within {DELIVER_SECONDS:g} s")
    wrong = came.wrong + deliveries - came.received + (not settled)
    return Round({"rate": came.received / came.seconds, "errors": float(wrong)}, used.used)


@contextlib.contextmanager
def dispatching(contestant: Contestant, ground: Ground, database: str) -> Iterator[int]:
    """The dispatcher alone, for the length of the block; its process."""
    if contestant.kind is Kind.DULY:
        with running(contestant, ground, Start(("dispatcher",), database, ENVIRONMENT)) as service:
            yield service.pid
        return
    environment = clean_environment() | {"BENCHMARK_DATABASE_URL": ground.server.url(database)}
    command = [sys.executable, "-m", "benchmarks.naive_dispatcher"]
    log = ground.folder / f"{database}.log"
    with conversation("the naive dispatcher", command, environment=environment, log=log) as process:
        yield process.pid
