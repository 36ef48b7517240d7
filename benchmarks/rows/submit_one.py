"""S1: single submissions on 64 connections, accepted by one process that does nothing else."""

from benchmarks.closed_loop import LoadPlan
from benchmarks.contestants import (
    API_ONLY,
    ASGI,
    DULY_SERVICE,
    FASTAPI,
    NAIVE,
    STARLETTE,
    STARLETTE_BATCHED,
    Contestant,
    Start,
    running,
)
from benchmarks.generator_processes import loaded
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext
from benchmarks.submissions import SINGLE_PATH, one

CONTESTANTS = (DULY_SERVICE, NAIVE, STARLETTE_BATCHED, FASTAPI, STARLETTE, ASGI)


def measure(context: RunContext) -> list[Result]:
    sizes = context.sizes

    def one_round(contestant: Contestant) -> Round:
        with running(contestant, context, Start(roles=API_ONLY)) as service:
            body = one().decode()
            plan = LoadPlan(service.port, SINGLE_PATH, body, seconds=sizes.seconds, warm_up=sizes.warm_up)
            return loaded(context, service, plan)

    return alternate("S1", CONTESTANTS, context=context, measure=one_round)
