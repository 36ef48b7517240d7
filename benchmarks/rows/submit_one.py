"""S1: single submissions on 64 connections, accepted by one process that does nothing else."""

from benchmarks.contestants import (
    API_ONLY,
    ASGI,
    DULY_ITSELF,
    FASTAPI,
    NAIVE,
    STARLETTE,
    STARLETTE_BATCHED,
    Contestant,
    Start,
    running,
)
from benchmarks.generators import loaded
from benchmarks.ground import Ground
from benchmarks.load import LoadPlan
from benchmarks.rounds import Result, Round, alternate
from benchmarks.submissions import SINGLE_PATH, one

CONTESTANTS = (DULY_ITSELF, NAIVE, STARLETTE_BATCHED, FASTAPI, STARLETTE, ASGI)


def measure(ground: Ground) -> list[Result]:
    sizes = ground.sizes

    def one_round(contestant: Contestant) -> Round:
        with running(contestant, ground, Start(roles=API_ONLY)) as service:
            body = one().decode()
            plan = LoadPlan(service.port, SINGLE_PATH, body, seconds=sizes.seconds, warm_up=sizes.warm_up)
            return loaded(ground, service, plan)

    return alternate("S1", CONTESTANTS, ground=ground, measure=one_round)
