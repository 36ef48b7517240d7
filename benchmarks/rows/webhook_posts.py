"""S5a: POST requests of webhooks alone: 64 concurrently to a receiver that responds at once, without an outbox."""

import json
import sys
from dataclasses import asdict

from benchmarks.contestants import DULY_SERVICE, Contestant
from benchmarks.generator_processes import run_generator
from benchmarks.peers import environments
from benchmarks.post_clients import PostOutcome, PostPlan
from benchmarks.processes import ContestantFailed, cores
from benchmarks.receiver_process import run_receiver
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import Kind, RunContext
from benchmarks.webhook_receiver import ReceiverPlan

# Environment of the clients that are not dependencies of the service.
ENVIRONMENT = "posting"
HTTPX = Contestant("httpx, default transport", Kind.NAIVE)
HTTPX_ON_AIOHTTP = Contestant(f"httpx-aiohttp {environments.locked(ENVIRONMENT, 'httpx-aiohttp')}", Kind.PEER)
AIOHTTP = Contestant(f"aiohttp {environments.locked(ENVIRONMENT, 'aiohttp')}", Kind.PEER)
BY_HAND = Contestant("bare asyncio protocol", Kind.CEILING)
CLIENT_OF = {
    DULY_SERVICE: "duly",
    HTTPX: "httpx",
    HTTPX_ON_AIOHTTP: "httpx-aiohttp",
    AIOHTTP: "aiohttp",
    BY_HAND: "by-hand",
}


def measure(context: RunContext) -> list[Result]:
    return alternate("S5a", list(CLIENT_OF), context=context, measure=lambda contestant: posted(contestant, context))


def posted(contestant: Contestant, context: RunContext) -> Round:
    """Measures one round of one client."""
    sizes, program = context.sizes, program_of(contestant)
    with run_receiver(context, ReceiverPlan(remembers=False)) as receiver:
        plan = PostPlan(receiver.ports[0], sizes.posts_at_once, seconds=sizes.seconds, warm_up=sizes.warm_up)
        arguments = [CLIENT_OF[contestant], json.dumps(asdict(plan))]
        with cores(receiver=receiver.pid) as used:
            members = run_generator(
                "benchmarks.post_clients", *arguments, seconds=plan.warm_up + plan.seconds, program=program
            )
    outcome = PostOutcome(**members)
    if not outcome.rate:
        raise ContestantFailed(f"no response with 204; {outcome.wrong} others")
    figures = {"rate": outcome.rate, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms, "errors": float(outcome.wrong)}
    return Round(figures, {"client": outcome.cores} | used.used)


def program_of(contestant: Contestant) -> str:
    """Returns the Python interpreter with this client."""
    return str(environments.environment(ENVIRONMENT).program) if contestant.kind is Kind.PEER else sys.executable
