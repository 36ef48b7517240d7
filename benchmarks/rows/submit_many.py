"""S2: submissions of many jobs a request, and peers' bulk calls, with no HTTP before them; the rate counts jobs."""

import http.client
from dataclasses import replace

from benchmarks.contestants import (
    API_ONLY,
    DULY_ITSELF,
    FASTAPI_MANY,
    NAIVE,
    Contestant,
    Running,
    Start,
    peers_that_submit,
    running,
)
from benchmarks.generators import loaded
from benchmarks.ground import Ground
from benchmarks.load import LoadPlan
from benchmarks.peers import measuring
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.submissions import MANY_PATH, many

CONNECTIONS = 8


def measure(ground: Ground) -> list[Result]:
    sizes = ground.sizes
    contestants = (DULY_ITSELF, NAIVE, *peers_that_submit(ground), FASTAPI_MANY)

    def one_round(contestant: Contestant) -> Round:
        if contestant.peer is not None:
            return measuring.in_bulk(contestant.peer, ground)
        with running(contestant, ground, Start(roles=API_ONLY)) as service:
            refuse_what_is_missing(service)
            body = many(sizes.jobs_a_request).decode()
            plan = LoadPlan(service.port, MANY_PATH, body, CONNECTIONS, seconds=sizes.seconds, warm_up=sizes.warm_up)
            shown = loaded(ground, service, plan)
        return replace(shown, figures=shown.figures | {"rate": shown.figures["rate"] * sizes.jobs_a_request})

    return alternate("S2", contestants, ground=ground, measure=one_round)


def refuse_what_is_missing(service: Running) -> None:
    """Raises ContestantFailed where the service has no such endpoint."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    try:
        connection.request("POST", MANY_PATH, many(1), {"Content-Type": "application/json"})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.METHOD_NOT_ALLOWED}:
        raise ContestantFailed(f"not built yet: POST {MANY_PATH} answers {status}")
