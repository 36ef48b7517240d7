"""The report of a run: Markdown tables for people, a JSON file for what comes after."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.figures import Spread
from benchmarks.ground import Kind
from benchmarks.machine import QUIET_CORES
from benchmarks.rounds import Result
from benchmarks.targets import TARGETS, Bound, judge

# The figure by which contestants are compared, and whether less is better.
LEADING = {"rate": False, "p50_ms": True, "resident_mb": True, "ready_seconds": True}
FIGURES = {
    "rate": "per second",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "resident_mb": "MB",
    "ready_seconds": "seconds",
    "errors": "errors",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run: how it was started, on what, and the results of each row."""

    command: str
    at: str
    busy_cores_before: float
    seconds: float
    machine: Mapping[str, str]
    server: Mapping[str, str]
    results: Mapping[str, list[Result]]


def markdown(run: Run) -> str:
    return "\n".join([*_summary(run), "", *_details(run), "", *_circumstances(run)])


def write_json(run: Run, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.at}.json"
    document = asdict(run) | {"verdicts": {row: _verdicts(row, results) for row, results in run.results.items()}}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def _summary(run: Run) -> Iterable[str]:
    yield "| row | what | Duly | ÷ naive | ÷ ceilings | target | reached | moonshot |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for row, results in run.results.items():
        target = TARGETS[row]
        reached, moonshot = _verdicts(row, results)
        cells = (
            row,
            target.what,
            _duly(results),
            ", ".join(_ratios(results, Kind.NAIVE)) or "-",
            ", ".join(_ratios(results, Kind.CEILING)) or "-",
            f"{target.words}{_marks(target.bounds, results)}",
            reached,
            f"{target.moonshot_words}: {moonshot}" if target.moonshot else "-",
        )
        yield f"| {' | '.join(cells)} |"


def _details(run: Run) -> Iterable[str]:
    yield f"| row | contestant | {' | '.join(FIGURES.values())} | cores |"
    yield f"| --- | --- | {' | '.join('---' for _ in FIGURES)} | --- |"
    for row, results in run.results.items():
        for result in results:
            spreads = result.spreads()
            cells = [_spread(spreads[name]) if name in spreads else "" for name in FIGURES]
            cores = ", ".join(f"{part} {used:.2f}" for part, used in result.cores().items())
            cells.append(result.failure or cores)
            yield f"| {row} | {result.contestant.name} | {' | '.join(cells)} |"


def _circumstances(run: Run) -> Iterable[str]:
    yield f"`{run.command}` · {run.at} · {run.seconds:.0f} s · {run.busy_cores_before:.2f} cores busy before"
    if run.busy_cores_before > QUIET_CORES:
        yield "**The machine was busy with other work: the figures are low, and the ratios uncertain.**"
    yield ""
    for name, value in {**run.machine, **{f"postgres {name}": value for name, value in run.server.items()}}.items():
        yield f"- {name}: {value}"
    yield "- a figure is the median of the rounds (least-most); cores are means over a load, machine is all that ran"
    yield "- marks of systems outside this run are what they showed on a machine like it, not a ratio within the run"


def _medians(results: list[Result]) -> dict[str, dict[str, float]]:
    return {
        result.contestant.name: {name: spread.median for name, spread in result.spreads().items()} for result in results
    }


def _verdicts(row: str, results: list[Result]) -> tuple[str, str]:
    medians = _medians(results)
    return judge(TARGETS[row].bounds, medians).value, judge(TARGETS[row].moonshot, medians).value


def _duly(results: list[Result]) -> str:
    result = next((result for result in results if result.contestant.kind is Kind.DULY), None)
    if result is None:
        return "-"
    shown = [
        f"{number(spread.median)} {FIGURES[name]}" for name, spread in result.spreads().items() if name != "errors"
    ]
    return ", ".join(shown) or (result.failure or "-")


def _ratios(results: list[Result], kind: Kind) -> Iterable[str]:
    medians = _medians(results)
    for result in results:
        name = result.contestant.name
        if result.contestant.kind is not kind or not medians[name]:
            continue
        leading = next(figure for figure in LEADING if figure in medians[name])
        own, other = medians.get("Duly", {}).get(leading), medians[name][leading]
        if own is not None and other:
            yield f"{own / other:.2f}" + (f" of {name}" if kind is Kind.CEILING else "")


def _marks(bounds: tuple[Bound, ...], results: list[Result]) -> str:
    """What relative targets mean in figures, where the run shows them."""
    medians = _medians(results)
    marks = [
        f"{FIGURES[bound.figure]} {'≤' if bound.at_most else '≥'} {number(mark)}"
        for bound in bounds
        if bound.times and (mark := bound.mark(medians)) is not None
    ]
    return f" ({', '.join(marks)})" if marks else ""


def _spread(spread: Spread) -> str:
    if spread.rounds == 1 or spread.least == spread.most:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.least)}-{number(spread.most)})"


def number(value: float) -> str:
    """Three figures of it, and thousands apart: 12,345 · 12.3 · 1.23."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
