"""Comparison of today's build with an earlier one: pair by pair, by time and by processor."""

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.contestants import DULY_SERVICE
from benchmarks.figure_labels import LEADING, figure_name
from benchmarks.results_file import Rows
from benchmarks.rounds import Result, Round

# Parts whose cores are those of the product; the others load it, or are everything on the machine.
OF_THE_PRODUCT = ("service", "dispatcher", "postgres")
HEADING = ("row", "figure", "today ÷ earlier", "pairs", "by processor", "")
NOISE = "within noise"


def comparison(rows: Rows, earlier: str) -> Iterable[str]:
    """Yields a table of the rows that both builds were measured in. More than 1 means that today's is better.

    A ratio is that of the medians of all pairs. It is within noise if some pairs say that today's build is better, and
    others that it is worse.
    """
    yield f"**Today's build against {earlier}**"
    yield ""
    yield f"| {' | '.join(HEADING)} |"
    yield f"| {' | '.join('---' for _ in HEADING)} |"
    for name, row in rows.items():
        today, before = _named(row.results, DULY_SERVICE.name), _named(row.results, earlier)
        if today is not None and before is not None:
            yield _line(name, today, before)


def _named(results: Sequence[Result], name: str) -> Result | None:
    return next((each for each in results if each.contestant.name == name and each.rounds), None)


def _line(row: str, today: Result, before: Result) -> str:
    pairs = list(zip(today.rounds, before.rounds, strict=False))
    figure = next((name for name in LEADING if name in pairs[0][0].figures), None)
    if figure is None:
        return f"| {row} | no figure to compare | | | | |"
    ratios = [_better(figure, one.figures[figure], other.figures[figure]) for one, other in pairs]
    costs = [cost for one, other in pairs if figure == "rate" and (cost := _cheaper(one, other)) is not None]
    cells = (
        row,
        figure_name(figure),
        f"{median(ratios):.2f}",
        ", ".join(f"{ratio:.2f}" for ratio in ratios),
        f"{median(costs):.2f}" if costs else "",
        NOISE if min(ratios) < 1 < max(ratios) else "",
    )
    return f"| {' | '.join(cells)} |"


def _better(figure: str, today: float, before: float) -> float:
    less_is_better = LEADING[figure]
    return (before / today) if less_is_better else (today / before)


def _cheaper(today: Round, before: Round) -> float | None:
    """Returns how many times the processor time of a unit the earlier build needs."""
    used = [sum(each.cores.get(part, 0.0) for part in OF_THE_PRODUCT) for each in (today, before)]
    if not all(used):
        return None
    return (used[1] / before.figures["rate"]) / (used[0] / today.figures["rate"])
