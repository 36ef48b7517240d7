"""Report: Markdown tables of the measured figures, beside their targets."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.figure_labels import LEADING, figure_name, format_spread, number
from benchmarks.machine import QUIET_CORES
from benchmarks.results_file import Circumstances, Row, Rows
from benchmarks.rounds import Result
from benchmarks.run_context import Kind
from benchmarks.targets import TARGETS, Bound, Verdict, judge

SUMMARY = ("row", "measures", "run", "Duly", "÷ naive", "÷ peers", "÷ ceilings", "target", "verdict", "stretch target")
JUDGED = "Duly"
NOISE = " within noise"


def markdown(rows: Rows) -> str:
    """Returns the whole report: the summary, the circumstances of each run, and all figures."""
    ordered = in_order(rows)
    return "\n".join([*summary(ordered), "", *circumstances(ordered), "", *details(ordered)])


def in_order(rows: Rows) -> Rows:
    """Returns the rows in the order of the targets."""
    return {row: rows[row] for row in TARGETS if row in rows}


def summary(rows: Rows) -> Iterable[str]:
    yield from heading(SUMMARY)
    for name, row in rows.items():
        target = TARGETS[name]
        reached, stretch = verdicts(name, row.results)
        cells = (
            name,
            target.what,
            f"{row.circumstances.sizes}, {row.circumstances.at[:10]}",
            _judged(row.results),
            *("<br>".join(_ratios(row.results, kind)) or "-" for kind in (Kind.NAIVE, Kind.PEER, Kind.CEILING)),
            f"{target.text}{_marks(target.bounds, row.results)}",
            f"**{reached}**{_doubt(target.bounds, row.results)}",
            f"{target.stretch_text}: {stretch}{_doubt(target.stretch, row.results)}" if target.stretch else "-",
        )
        yield f"| {' | '.join(cells)} |"


def details(rows: Rows) -> Iterable[str]:
    """Yields a table for each row."""
    for name, row in rows.items():
        yield f"**{name}**: {TARGETS[name].what} ({row.seconds:,.0f} s)"
        yield from _detail(row.results)
        yield ""


def circumstances(rows: Rows) -> Iterable[str]:
    """Yields each run once, with the rows that it measured."""
    runs: dict[str, list[str]] = {}
    for name, row in rows.items():
        runs.setdefault(row.circumstances.at, []).append(name)
    for _, names in sorted(runs.items(), reverse=True):
        yield from _run(rows[names[0]].circumstances, names)
        yield ""
    yield "- A figure is the median of the rounds (minimum-maximum)."
    yield f"- A verdict is{NOISE} if some rounds reach the target and others miss it. A row of one round has no spread."
    yield "- Cores are means over a load; machine is the total."
    yield "- Targets relative to systems that did not take part in a run use figures from a comparable machine."


def verdicts(name: str, results: Sequence[Result]) -> tuple[Verdict, Verdict]:
    """Returns the verdicts on the target and on the stretch target."""
    medians = _medians(results)
    return judge(TARGETS[name].bounds, medians), judge(TARGETS[name].stretch, medians)


def heading(cells: Iterable[str]) -> tuple[str, str]:
    named = list(cells)
    return f"| {' | '.join(named)} |", f"| {' | '.join('---' for _ in named)} |"


def _run(run: Circumstances, names: Sequence[str]) -> Iterable[str]:
    yield f"`{run.command}` · {run.at} · {run.sizes} · rows {', '.join(names)}"
    if run.busy_cores_before > QUIET_CORES:
        busy = f"{run.busy_cores_before:.2f} cores were busy before"
        yield f"**The machine was busy with other work ({busy}): figures are too low and ratios uncertain.**"
    yield ""
    for name, value in {**run.machine, **{f"postgres {name}": value for name, value in run.server.items()}}.items():
        yield f"- {name}: {value}"


def _detail(results: Sequence[Result]) -> Iterable[str]:
    """Yields one table for results with the same figures: ratios separate from the figures they are made of."""
    tables: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        if result.failure:
            yield f"- {result.contestant.name}: {result.failure}"
        if result.rounds:
            alike = next((figures for figures in tables if set(figures) & set(result.spreads())), ())
            figures = alike or tuple(result.spreads())
            tables.setdefault(figures, []).append(result)
    for figures, alike_results in tables.items():
        yield ""
        yield from _table(figures, alike_results)


def _table(figures: Sequence[str], results: Sequence[Result]) -> Iterable[str]:
    with_cores = any(result.cores() for result in results)
    yield from heading(["", *(figure_name(name) for name in figures), *(["cores"] if with_cores else [])])
    for result in results:
        spreads = result.spreads()
        cells = [format_spread(spreads[name]) if name in spreads else "" for name in figures]
        cores = ", ".join(f"{part} {used:.2f}" for part, used in result.cores().items())
        yield f"| {' | '.join([result.contestant.name, *cells, *([cores] if with_cores else [])])} |"


def _medians(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    return {
        result.contestant.name: {name: spread.median for name, spread in result.spreads().items()} for result in results
    }


def _doubt(bounds: tuple[Bound, ...], results: Sequence[Result]) -> str:
    """Returns that a verdict is within noise, if some rounds reach the target and others miss it."""
    rounds = min((len(result.rounds) for result in results if result.rounds), default=0)
    by_round = {
        judge(bounds, {result.contestant.name: result.rounds[place].figures for result in results if result.rounds})
        for place in range(rounds)
    }
    return f",{NOISE}" if len(by_round) > 1 else ""


def _judged(results: Sequence[Result]) -> str:
    result = next((result for result in results if result.contestant.name == JUDGED), None)
    if result is None:
        return "-"
    shown = [
        f"{number(spread.median)} {figure_name(name)}" for name, spread in result.spreads().items() if name != "errors"
    ]
    return ", ".join(shown) or (result.failure or "-")


def _ratios(results: Sequence[Result], kind: Kind) -> Iterable[str]:
    medians = _medians(results)
    for result in results:
        name = result.contestant.name
        leading = next((figure for figure in LEADING if figure in medians[name]), None)
        if result.contestant.kind is not kind or leading is None:
            continue
        own, other = medians.get(JUDGED, {}).get(leading), medians[name][leading]
        if own is not None and other:
            yield f"{own / other:.2f}" + ("" if kind is Kind.NAIVE else f" of {name}")


def _marks(bounds: tuple[Bound, ...], results: Sequence[Result]) -> str:
    """Returns relative targets as figures, if the run contains what they are relative to."""
    medians: Mapping[str, Mapping[str, float]] = _medians(results)
    marks = [
        f"{figure_name(bound.figure)} {'≤' if bound.at_most else '≥'} {number(mark)}"
        for bound in bounds
        if bound.times and (mark := bound.mark(medians)) is not None
    ]
    return f" ({', '.join(marks)})" if marks else ""


def one_row(name: str, row: Row) -> str:
    """Returns the summary line of one row, which is printed during a run."""
    reached, _ = verdicts(name, row.results)
    doubt = _doubt(TARGETS[name].bounds, row.results)
    return f"{name}: {_judged(row.results)} · {reached}{doubt} · {row.seconds:,.0f} s"


def times(rows: Rows, *, seconds: float) -> str:
    """Returns the time of a run and of each of its rows."""
    each = ", ".join(f"{name} {row.seconds:,.0f}" for name, row in rows.items())
    return f"seconds: {seconds:,.0f} in all; {each}"
