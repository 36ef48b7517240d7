"""S2: submissions of many jobs per request, and bulk calls of peers, without HTTP; the rate counts jobs."""

import http.client
from dataclasses import replace

from benchmarks.closed_loop import LoadPlan
from benchmarks.contestants import (
    API_ONLY,
    DULY_SERVICE,
    FASTAPI_MANY,
    NAIVE,
    Contestant,
    Running,
    Start,
    peers_that_submit,
    running,
)
from benchmarks.generator_processes import loaded
from benchmarks.peers import measurements
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext
from benchmarks.submissions import MANY_PATH, many

CONNECTIONS = 8


def measure(context: RunContext) -> list[Result]:
    sizes = context.sizes
    contestants = (DULY_SERVICE, NAIVE, *peers_that_submit(context), FASTAPI_MANY)

    def one_round(contestant: Contestant) -> Round:
        if contestant.peer is not None:
            return measurements.in_bulk(contestant.peer, context)
        with running(contestant, context, Start(roles=API_ONLY)) as service:
            check_endpoint_exists(service)
            body = many(sizes.jobs_per_request).decode()
            plan = LoadPlan(service.port, MANY_PATH, body, CONNECTIONS, seconds=sizes.seconds, warm_up=sizes.warm_up)
            shown = loaded(context, service, plan)
        return replace(shown, figures=shown.figures | {"rate": shown.figures["rate"] * sizes.jobs_per_request})

    return alternate("S2", contestants, context=context, measure=one_round)


def check_endpoint_exists(service: Running) -> None:
    """Raises ContestantFailed if the service has no such endpoint."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    try:
        connection.request("POST", MANY_PATH, many(1), {"Content-Type": "application/json"})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.METHOD_NOT_ALLOWED}:
        raise ContestantFailed(f"not supported: POST {MANY_PATH} responds with {status}")
