"""S5a: a post by itself: 64 at once to a receiver that answers at once, with no outbox behind them."""

import json
import sys
from dataclasses import asdict

from benchmarks.contestants import DULY_ITSELF, Contestant
from benchmarks.generators import run_generator
from benchmarks.ground import Ground, Kind
from benchmarks.peers import installing
from benchmarks.post_clients import PostOutcome, PostPlan
from benchmarks.processes import ContestantFailed, cores
from benchmarks.receiver import ReceiverPlan
from benchmarks.receiving import receiving
from benchmarks.rounds import Result, Round, alternate

# The environment of the clients that the service does not depend on.
ENVIRONMENT = "posting"
HTTPX = Contestant("httpx, default transport", Kind.NAIVE)
HTTPX_ON_AIOHTTP = Contestant(f"httpx-aiohttp {installing.locked(ENVIRONMENT, 'httpx-aiohttp')}", Kind.PEER)
AIOHTTP = Contestant(f"aiohttp {installing.locked(ENVIRONMENT, 'aiohttp')}", Kind.PEER)
BY_HAND = Contestant("bare asyncio protocol", Kind.CEILING)
CLIENT_OF = {
    DULY_ITSELF: "duly",
    HTTPX: "httpx",
    HTTPX_ON_AIOHTTP: "httpx-aiohttp",
    AIOHTTP: "aiohttp",
    BY_HAND: "by-hand",
}


def measure(ground: Ground) -> list[Result]:
    return alternate("S5a", list(CLIENT_OF), ground=ground, measure=lambda contestant: posted(contestant, ground))


def posted(contestant: Contestant, ground: Ground) -> Round:
    """One round of one client."""
    sizes, program = ground.sizes, program_of(contestant)
    with receiving(ground, ReceiverPlan(remembers=False)) as receiver:
        plan = PostPlan(receiver.ports[0], sizes.posts_at_once, seconds=sizes.seconds, warm_up=sizes.warm_up)
        arguments = [CLIENT_OF[contestant], json.dumps(asdict(plan))]
        with cores(receiver=receiver.pid) as used:
            told = run_generator(
                "benchmarks.post_clients", *arguments, seconds=plan.warm_up + plan.seconds, program=program
            )
    outcome = PostOutcome(**told)
    if not outcome.rate:
        raise ContestantFailed(f"no post was answered with 204; {outcome.wrong} were not")
    figures = {"rate": outcome.rate, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms, "errors": float(outcome.wrong)}
    return Round(figures, {"client": outcome.cores} | used.used)


def program_of(contestant: Contestant) -> str:
    """The Python that has this client."""
    return str(installing.environment(ENVIRONMENT).program) if contestant.kind is Kind.PEER else sys.executable
