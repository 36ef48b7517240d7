"""Quick comparison for each change: `python -m benchmarks.guard` prints two ratios beside those on record.

It fails no build. Ratios to the naive service of the same run vary less than absolute figures, but half a minute on a
busy machine shows only a large regression.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import results_file
from benchmarks.postgres_server import open_folder, running_server
from benchmarks.processes import ROOT
from benchmarks.rounds import Result
from benchmarks.rows import ROWS
from benchmarks.run_context import Kind, RunContext, Sizes

ON_RECORD = ROOT / "docs" / "internals" / "performance" / "results.json"
KINDS = frozenset({Kind.DULY, Kind.NAIVE})
GUARDED = ("S1", "S3")
SIZES = replace(Sizes(), rounds=2, seconds=1.5, processed_jobs=10_000, processed_naive_jobs=1_500)
# Share of the ratio on record from which a measured ratio counts as within.
NOISE = 0.8


def main(path: Path = ON_RECORD, sizes: Sizes = SIZES) -> int:
    recorded = results_file.read(path)
    with open_folder() as folder, running_server(folder / "postgres") as server:
        measured = {row: ROWS[row](RunContext(server, folder, sizes, KINDS)) for row in GUARDED}
    for row, results in measured.items():
        print(line(row, ratio(results), ratio(recorded[row].results) if row in recorded else None))
    return 0


def ratio(results: Sequence[Result]) -> float | None:
    """Returns the rate of Duly divided by that of the naive service; None if one of them was not measured."""
    rates = {result.contestant.kind: result.spreads()["rate"].median for result in results if result.rounds}
    if Kind.DULY not in rates or not rates.get(Kind.NAIVE):
        return None
    return rates[Kind.DULY] / rates[Kind.NAIVE]


def line(row: str, now: float | None, before: float | None) -> str:
    if now is None:
        return f"{row}: not measured"
    if before is None:
        return f"{row}: {now:.2f} x naive; nothing on record"
    verdict = "within" if now >= NOISE * before else "below"
    return f"{row}: {now:.2f} x naive, on record {before:.2f}: {verdict}"


if __name__ == "__main__":
    sys.exit(main())
