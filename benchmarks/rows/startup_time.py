"""F1: time from the command to `Duly is ready`, on an embedded Postgres with existing data."""

from pathlib import Path

from benchmarks.contestants import DULY, DULY_READY, DULY_SERVICE, Contestant, Start, clean_environment, running
from benchmarks.processes import started
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import Kind, RunContext

ON_A_SERVER = Contestant("Duly, on a running Postgres", Kind.DULY)


def measure(context: RunContext) -> list[Result]:
    data = context.folder / "duly"

    def one_round(contestant: Contestant) -> Round:
        if contestant == ON_A_SERVER:
            with running(contestant, context, Start()) as service:
                return Round({"ready_seconds": service.ready_seconds})
        if not data.exists():
            embedded_ready_seconds(data)
        return Round({"ready_seconds": embedded_ready_seconds(data)})

    return alternate("F1", (DULY_SERVICE, ON_A_SERVER), context=context, measure=one_round)


def embedded_ready_seconds(data: Path) -> float:
    """Starts and stops `duly serve` on its embedded Postgres in `data`; the first call creates the data."""
    with started(
        [str(DULY), "serve", "--port", "0"],
        environment=clean_environment() | {"DULY_DATA_DIR": str(data)},
        log=data.with_suffix(".log"),
        ready=DULY_READY,
        within_seconds=60,
    ) as service:
        return service.ready_seconds
