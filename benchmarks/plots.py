"""Plots of the page, each drawn if its row was measured. Plots over time are in `plots_over_time`."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from benchmarks.plot_style import COLOURS, DULY_BLUE, GREY, INK, drawing, short
from benchmarks.plots_over_time import draw_overload, draw_snapshot, draw_soak
from benchmarks.results_file import Row, Rows
from benchmarks.rounds import Result
from benchmarks.stats import Spread

# Ratio of the largest to the smallest value above which bars have a logarithmic scale.
WIDE = 30
BARS = {
    "S1": ("submit-one", "Submitting one job per request (S1)", "rate", "jobs per second"),
    "S2": ("submit-many", "Submitting many jobs per request (S2)", "rate", "jobs per second"),
    "S3": ("processed", "Running no-op jobs (S3)", "rate", "jobs per second"),
    "S4": ("end-to-end", "Jobs end to end, with a signed webhook (S4)", "rate", "jobs per second"),
    "S5a": ("posts", "Signed POST requests alone (S5a)", "rate", "requests per second"),
    "S5b": ("deliveries", "Signed deliveries from a full outbox (S5b)", "rate", "webhooks per second"),
    "S6": ("pick-up", "Idle: from the POST to the handler's start (S6)", "p50_ms", "milliseconds, median"),
}


def draw(rows: Rows, folder: Path) -> dict[str, Path]:
    """Draws the plots of these rows into the folder; returns the SVGs by title, in the order of the page."""
    drawn: dict[str, Path] = {}
    for row, (name, title, figure, unit) in BARS.items():
        if row in rows and measured(rows[row], figure):
            drawn[title] = folder / f"{name}.svg"
            draw_bars(measured(rows[row], figure), drawn[title], title=title, figure=figure, unit=unit)
    others: tuple[tuple[str, str, str, Callable[[Row, Path], None]], ...] = (
        ("G1", "waiting", "With a backlog of ready jobs (G1)", draw_sizes),
        ("G2", "finished", "With finished jobs (G2)", draw_sizes),
        ("G3", "snapshot", "With a snapshot held open (G3)", draw_snapshot),
        ("G6", "processes", "With several processes (G6)", draw_sizes),
        ("L1", "overload", "Ten times the sustainable load (L1)", draw_overload),
        ("SOAK", "soak", "Sustained load at a constant rate (SOAK)", draw_soak),
    )
    for row, name, title, draw_one in others:
        if row in rows and any(result.rounds for result in rows[row].results):
            drawn[title] = folder / f"{name}.svg"
            draw_one(rows[row], drawn[title])
    return drawn


def measured(row: Row, figure: str) -> list[tuple[Result, Spread]]:
    """Returns the contestants with this figure, and its spread."""
    return [(result, spreads[figure]) for result in row.results if figure in (spreads := result.spreads())]


def draw_bars(shown: Sequence[tuple[Result, Spread]], path: Path, *, title: str, figure: str, unit: str) -> None:
    less_is_better = figure.endswith("_ms")
    ordered = sorted(shown, key=lambda pair: pair[1].median, reverse=less_is_better)
    values = [spread.median for _, spread in ordered]
    names = [result.contestant.name for result, _ in ordered]
    with drawing(path, height=0.8 + 0.3 * len(values)) as (axes,):
        colours = [COLOURS[result.contestant.kind] for result, _ in ordered]
        bars = axes.barh(names, values, color=colours, height=0.62)
        axes.bar_label(bars, [f" {_precise(value)}" for value in values], fontsize=9)
        if max(values) > WIDE * max(min(values), 1e-9):
            axes.set_xscale("log")
            unit = f"{unit}, logarithmic"
        axes.margins(x=0.12)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.set_title(title)
        axes.set_xlabel(unit)


# Panels of a row that compares sizes: figure, title, unit.
PANELS = (
    ("rate", "submitting", "jobs per second"),
    ("p99_ms", "submitting, p99", "milliseconds"),
    ("processed_rate", "running", "jobs per second"),
    ("read_rate", "reading one job", "reads per second"),
)


def draw_sizes(row: Row, path: Path) -> None:
    """Draws a panel for each figure and a bar for each condition; the first condition is the reference."""
    panels = [panel for panel in PANELS if measured(row, panel[0])]
    with drawing(path, rows=len(panels), height=1.7) as stack:
        for axes, (figure, title, unit) in zip(stack, panels, strict=True):
            _draw_panel(axes, measured(row, figure), title=title, unit=unit)


def _draw_panel(axes: Axes, shown: Sequence[tuple[Result, Spread]], *, title: str, unit: str) -> None:
    names = [_shorter(result.contestant.name) for result, _ in shown]
    values = [spread.median for _, spread in shown]
    colours = [GREY if place == 0 else DULY_BLUE for place in range(len(shown))]
    below = [spread.median - spread.least for _, spread in shown]
    above = [spread.most - spread.median for _, spread in shown]
    bars = axes.bar(names, values, color=colours, width=0.5, yerr=(below, above), ecolor=INK)
    axes.bar_label(bars, [_precise(value) for value in values], fontsize=9, padding=2)
    axes.margins(y=0.25)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_title(title)
    axes.set_ylabel(unit)


def _shorter(name: str) -> str:
    """Shortens the numbers in a name such as "40,000 waiting, 1,000,000 finished"."""
    return re.sub(r"\d{1,3}(,\d{3})+", lambda found: short(float(found[0].replace(",", ""))), name)


def _precise(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
