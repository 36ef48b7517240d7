"""S5b: signed deliveries from a full outbox, to one endpoint and to many.

The time is from the first received webhook to the last, so it excludes the start of the process, which F1 measures.
"""

import contextlib
import sys
from collections.abc import Iterator

from benchmarks import naive_dispatcher
from benchmarks.contestants import DULY_SERVICE, NAIVE, Contestant, Start, clean_environment, running
from benchmarks.filled_outboxes import ENVIRONMENT, filled, forget_outboxes
from benchmarks.peers.line_process import run_line_process
from benchmarks.processes import ContestantFailed, cores
from benchmarks.receiver_process import run_receiver
from benchmarks.rounds import Result, Round, alternate
from benchmarks.rows.webhook_posts import AIOHTTP, HTTPX, posted
from benchmarks.run_context import Kind, RunContext
from benchmarks.webhook_receiver import ReceiverPlan

DELIVER_SECONDS = 90.0
SETTLE_SECONDS = 15.0
LEFT = "select (not exists (select from deliveries))::int"
# HTTP clients without an outbox; the target is a multiple of their rate.
HTTPX_ALONE = Contestant("posts alone: httpx, default transport", Kind.PEER)
AIOHTTP_ALONE = Contestant(f"posts alone: {AIOHTTP.name}", Kind.PEER)
ALONE = {HTTPX_ALONE: HTTPX, AIOHTTP_ALONE: AIOHTTP}


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        if contestant in ALONE:
            return posted(ALONE[contestant], context)
        one = emptied(contestant, context, endpoints=1)
        many = emptied(contestant, context, endpoints=context.sizes.endpoints)
        errors = one.figures["errors"] + many.figures["errors"]
        rates = {"rate": one.figures["rate"], "rate_to_many": many.figures["rate"]}
        return Round(rates | {"errors": errors}, one.cores)

    try:
        return alternate("S5b", (DULY_SERVICE, NAIVE, *ALONE), context=context, measure=one_round)
    finally:
        forget_outboxes(context)


def emptied(contestant: Contestant, context: RunContext, *, endpoints: int) -> Round:
    """Measures an outbox with the same number of webhooks to each endpoint, until all are received and recorded."""
    duly, sizes = contestant.kind is Kind.DULY, context.sizes
    deliveries = (sizes.deliveries if duly else sizes.naive_deliveries) // endpoints * endpoints
    with run_receiver(context, ReceiverPlan(ports=endpoints)) as receiver:
        database = filled(context, contestant.kind, deliveries=deliveries, ports=receiver.ports)
        context.server.execute(database, "checkpoint")
        with dispatching(contestant, context, database) as pid:
            with cores(dispatcher=pid, postgres=context.server.pid, receiver=receiver.pid) as used:
                receiver.wait_for(deliveries, within_seconds=DELIVER_SECONDS)
            left = LEFT if duly else naive_dispatcher.LEFT
            settled = context.server.wait_for(database, left, wanted=1, within_seconds=SETTLE_SECONDS)
        webhooks = receiver.ended()
    context.drop(database)
    if not webhooks.received:
        raise ContestantFailed(f"no valid webhook was received within {DELIVER_SECONDS:g} s")
    wrong = webhooks.wrong + deliveries - webhooks.received + (not settled)
    return Round({"rate": webhooks.received / webhooks.seconds, "errors": float(wrong)}, used.used)


@contextlib.contextmanager
def dispatching(contestant: Contestant, context: RunContext, database: str) -> Iterator[int]:
    """Runs the dispatcher alone for the length of the block; yields its process id."""
    if contestant.kind is Kind.DULY:
        with running(contestant, context, Start(("dispatcher",), database, ENVIRONMENT)) as service:
            yield service.pid
        return
    environment = clean_environment() | {"BENCHMARK_DATABASE_URL": context.server.url(database)}
    command = [sys.executable, "-m", "benchmarks.naive_dispatcher"]
    log = context.folder / f"{database}.log"
    with run_line_process("the naive dispatcher", command, environment=environment, log=log) as process:
        yield process.pid
