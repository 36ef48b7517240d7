"""F1: from the command to `Duly is ready`, as a user starts it: on its own embedded Postgres, whose data are there."""

from pathlib import Path

from benchmarks.contestants import DULY, DULY_ITSELF, DULY_READY, Contestant, Start, clean_environment, running
from benchmarks.ground import Ground, Kind
from benchmarks.processes import started
from benchmarks.rounds import Result, Round, alternate

ON_A_SERVER = Contestant("Duly, on a running Postgres", Kind.DULY)


def measure(ground: Ground) -> list[Result]:
    data = ground.folder / "duly"

    def one_round(contestant: Contestant) -> Round:
        if contestant == ON_A_SERVER:
            with running(contestant, ground, Start()) as service:
                return Round({"ready_seconds": service.ready_seconds})
        if not data.exists():
            embedded_ready_seconds(data)
        return Round({"ready_seconds": embedded_ready_seconds(data)})

    return alternate("F1", (DULY_ITSELF, ON_A_SERVER), ground=ground, measure=one_round)


def embedded_ready_seconds(data: Path) -> float:
    """Starts `duly serve` on its embedded Postgres in `data`, and stops it; the first call makes the data."""
    with started(
        [str(DULY), "serve", "--port", "0"],
        environment=clean_environment() | {"DULY_DATA_DIR": str(data)},
        log=data.with_suffix(".log"),
        ready=DULY_READY,
        within_seconds=60,
    ) as service:
        return service.ready_seconds
