"""Entry point: `python -m benchmarks [--full] [--rows S1,S4] [--page FILE] …`; see `--help`."""

import argparse
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import against, machine, report, results_file
from benchmarks.contestants import DULY_SERVICE
from benchmarks.earlier_build import EarlierBuild, NoSuchBuild, checked_out
from benchmarks.postgres_server import open_folder, running_server
from benchmarks.results_file import Circumstances, Row, Rows
from benchmarks.rounds import Result
from benchmarks.rows import ON_REQUEST_ONLY, ROWS
from benchmarks.run_context import FULL, SMALL, Kind, RunContext, Sizes

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    began, options = time.perf_counter(), _options(arguments)
    busy = 0.0 if options.small else machine.wait_until_quiet()
    signal.signal(signal.SIGTERM, _end_cleanly)
    sizes, at, rows = _sizes(options), machine.now(), Rows()
    results = options.results / f"{at}.json"
    with (
        open_folder() as folder,
        _earlier(options.against, folder / "earlier") as earlier,
        running_server(folder / "postgres") as server,
    ):
        command = shlex.join(["python", "-m", "benchmarks", *arguments])
        around = Circumstances(command, at, sizes.name, busy, machine.describe(), server.settings())
        context = RunContext(server, folder, sizes, options.contestants, earlier)
        for name in options.rows:
            rows[name] = _measured(name, context, around)
            print(report.one_row(name, rows[name]), file=sys.stderr, flush=True)
            # Written after each row, so that an interrupted run keeps its results.
            results_file.write(rows, results)
    print(report.markdown(rows))
    if earlier is not None:
        print("\n".join(against.comparison(rows, earlier.name)))
    written = [results, *_page(options.page, rows)]
    print(f"\n{report.times(rows, seconds=time.perf_counter() - began)}", file=sys.stderr)
    print("written: " + ", ".join(str(path) for path in written), file=sys.stderr)
    return 0


def _earlier(revision: str | None, folder: Path) -> AbstractContextManager[EarlierBuild | None]:
    """Checks out the build to compare with, if one is named."""
    return nullcontext() if revision is None else checked_out(revision, folder)


def _measured(name: str, context: RunContext, around: Circumstances) -> Row:
    """Measures one row. A row that fails is recorded as failed, and the others are measured."""
    began = time.perf_counter()
    try:
        results = ROWS[name](context)
    except Exception as error:  # noqa: BLE001  # one row must not end a run of an hour
        traceback.print_exc()
        results = [Result(DULY_SERVICE, [], f"the row failed: {error!r}")]
    return Row(around, time.perf_counter() - began, results)


def _page(page: Path | None, rows: Rows) -> list[Path]:
    """Writes the page, if one is named. The drawing code is imported only then."""
    if page is None:
        return []
    from benchmarks.page import update  # noqa: PLC0415

    return update(page, rows)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure Duly side by side with other systems."
    )
    usual = tuple(row for row in ROWS if row not in ON_REQUEST_ONLY)
    parser.add_argument("--rows", type=_rows, default=usual, help=f"comma-separated, of {', '.join(ROWS)}")
    kinds = ", ".join(Kind)
    parser.add_argument("--contestants", type=_kinds, default=frozenset(Kind), help=f"comma-separated, of {kinds}")
    parser.add_argument("--rounds", type=int, help="rounds of each row with alternating contestants")
    parser.add_argument("--seconds", type=float, help="seconds per load")
    parser.add_argument("--minutes", type=float, help="minutes of the row SOAK (default: 30)")
    parser.add_argument("--full", action="store_true", help="largest sizes and longest loads (about an hour)")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to test the benchmark itself")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON file")
    parser.add_argument("--against", metavar="REV", help="a commit to measure beside the present one, pair by pair")
    parser.add_argument("--page", type=Path, help="page to update; charts are written to the folder of the same name")
    options = parser.parse_args(arguments)
    if options.against and options.page:
        parser.error("--page shows the present build only; leave out --page or --against")
    return options


def _rows(text: str) -> tuple[str, ...]:
    rows = tuple(row.strip() for row in text.split(","))
    if unknown := [row for row in rows if row not in ROWS]:
        raise argparse.ArgumentTypeError(f"unknown row: {', '.join(unknown)}; rows are {', '.join(ROWS)}")
    return rows


def _kinds(text: str) -> frozenset[Kind]:
    return frozenset(Kind(kind.strip()) for kind in text.split(","))


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = SMALL if options.small else FULL if options.full else Sizes()
    return replace(
        sizes,
        rounds=sizes.rounds if options.rounds is None else max(1, options.rounds),
        growth_rounds=sizes.growth_rounds if options.rounds is None else max(1, options.rounds),
        seconds=sizes.seconds if options.seconds is None else max(0.1, options.seconds),
        soak_minutes=sizes.soak_minutes if options.minutes is None else max(0.05, options.minutes),
    )


def _end_cleanly(number: int, frame: FrameType | None) -> NoReturn:
    """Raises SystemExit on SIGTERM, so that everything the run started is stopped."""
    del frame
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NoSuchBuild as error:
        sys.exit(f"--against: {error}")
