"""The programme: `python -m benchmarks [--rows S1,S4] [--rounds N] [--seconds N] [--small]`."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import machine, report
from benchmarks.ground import SMALL, Ground, Kind, Sizes
from benchmarks.rows import ROWS
from benchmarks.server import open_folder, running_server

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    sizes = _sizes(options)
    began = time.perf_counter()
    busy = 0.0 if options.small else machine.wait_until_quiet()
    signal.signal(signal.SIGTERM, _end_cleanly)
    with open_folder() as folder, running_server(folder / "postgres") as server:
        settings = server.settings()
        ground = Ground(server, folder, sizes, options.contestants)
        results = {row: ROWS[row](ground) for row in options.rows}
    run = report.Run(
        command=" ".join(["python -m benchmarks", *arguments]),
        at=machine.now(),
        busy_cores_before=busy,
        seconds=time.perf_counter() - began,
        machine=machine.describe(),
        server=settings,
        results=results,
    )
    print(report.markdown(run))
    print(f"\nwritten to {report.write_json(run, options.results)}", file=sys.stderr)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures Duly beside others.")
    parser.add_argument("--rows", type=_rows, default=tuple(ROWS), help=f"comma-separated, of {', '.join(ROWS)}")
    kinds = ", ".join(Kind)
    parser.add_argument("--contestants", type=_kinds, default=frozenset(Kind), help=f"comma-separated, of {kinds}")
    parser.add_argument("--rounds", type=int, help="rounds of each row (3)")
    parser.add_argument("--seconds", type=float, help="seconds of each load (3)")
    parser.add_argument("--small", action="store_true", help="tiny counts: shows that it works, measures nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder for the JSON file")
    return parser.parse_args(arguments)


def _rows(text: str) -> tuple[str, ...]:
    rows = tuple(row.strip() for row in text.split(","))
    if unknown := [row for row in rows if row not in ROWS]:
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return rows


def _kinds(text: str) -> frozenset[Kind]:
    return frozenset(Kind(kind.strip()) for kind in text.split(","))


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = SMALL if options.small else Sizes()
    return replace(
        sizes,
        rounds=sizes.rounds if options.rounds is None else max(1, options.rounds),
        seconds=sizes.seconds if options.seconds is None else max(0.1, options.seconds),
    )


def _end_cleanly(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM unwinds the run as an error does, so that everything it started is stopped."""
    del frame
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
