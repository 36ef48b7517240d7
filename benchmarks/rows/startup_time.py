"""F1: time from the command to `Duly is ready`, on an embedded Postgres with existing data."""

from pathlib import Path

from benchmarks.contestants import (
    DULY_READY,
    DULY_SERVICE,
    Contestant,
    Start,
    duly_environment,
    duly_program,
    running,
)
from benchmarks.processes import started
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import Kind, RunContext

ON_A_SERVER = Contestant("Duly, on a running Postgres", Kind.DULY)


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        data = context.folder / ("duly" if context.source is None else "duly-earlier")
        if contestant == ON_A_SERVER:
            with running(contestant, context, Start()) as service:
                return Round({"ready_seconds": service.ready_seconds})
        if not data.exists():
            embedded_ready_seconds(context, data)
        return Round({"ready_seconds": embedded_ready_seconds(context, data)})

    return alternate("F1", (DULY_SERVICE, ON_A_SERVER), context=context, measure=one_round)


def embedded_ready_seconds(context: RunContext, data: Path) -> float:
    """Starts and stops `duly serve` on its embedded Postgres in `data`; the first call creates the data."""
    with started(
        [*duly_program(context), "serve", "--port", "0"],
        environment=duly_environment(context) | {"DULY_DATA_DIR": str(data)},
        log=data.with_suffix(".log"),
        ready=DULY_READY,
        within_seconds=60,
    ) as service:
        return service.ready_seconds
