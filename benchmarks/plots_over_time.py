"""Plots over time: a panel for each quantity, with seconds on the shared axis."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.plot_style import DULY_BLUE, GREEN, GREY, ORANGE, drawing, short
from benchmarks.results_file import Row
from benchmarks.time_series import RoundOverTime

Series = Mapping[str, Sequence[float]]


def draw_snapshot(row: Row, path: Path) -> None:
    """Draws pick-up latency and dead tuples per second, without and with the snapshot."""
    panels = (
        ("pick_up_p50_ms", "from submission to start, p50", "ms"),
        ("pick_up_p99_ms", "from submission to start, p99", "ms, logarithmic"),
        ("dead_tuples", "dead tuples of the hot tables", "tuples"),
    )
    with drawing(path, rows=len(panels), height=1.8) as stack:
        for axes, (name, title, unit) in zip(stack, panels, strict=True):
            for colour, (condition, series) in zip((GREY, DULY_BLUE), series_by_condition(row).items(), strict=False):
                axes.plot(series["second"], series[name], color=colour, label=condition)
            _dress(axes, title, unit)
        _name_lines(stack[0])
        stack[-1].set_xlabel("seconds")


def draw_overload(row: Row, path: Path) -> None:
    for series in series_by_condition(row).values():
        with drawing(path, rows=3, height=1.8) as stack:
            responses, latency, memory = stack
            responses.plot(series["second"], series["accepted"], color=DULY_BLUE, label="accepted")
            responses.plot(series["second"], series["refused"], color=ORANGE, label="rejected")
            _name_lines(responses)
            _dress(responses, "responses", "per second")
            _lines(latency, series, {"p50_ms": ("p50", GREY), "p99_ms": ("p99", DULY_BLUE)})
            _dress(latency, "latency of accepted jobs", "ms, logarithmic")
            _lines(memory, series, {"resident_mb": ("", GREEN)})
            _dress(memory, "resident memory of the service", "MB")
            memory.set_ylim(bottom=0)
            memory.set_xlabel("seconds")


def draw_soak(row: Row, path: Path) -> None:
    for series in series_by_condition(row).values():
        with drawing(path, rows=5, height=1.5) as stack:
            rate, latency, memory, connections, dead = stack
            _lines(rate, series, {"rate": ("", DULY_BLUE)})
            _dress(rate, "jobs end to end", "per second")
            _lines(latency, series, {"p50_ms": ("p50", GREY), "p99_ms": ("p99", DULY_BLUE)})
            _dress(latency, "from the POST to the webhook", "ms, logarithmic")
            _lines(memory, series, {"resident_mb": ("", GREEN)})
            _dress(memory, "resident memory of the service", "MB")
            _lines(connections, series, {"connections": ("", GREEN)})
            _dress(connections, "connections to Postgres", "connections")
            _lines(dead, series, {"dead_tuples": ("", ORANGE)})
            _dress(dead, "dead tuples of the hot tables", "tuples")
            for axes in (rate, memory, connections, dead):
                axes.set_ylim(bottom=0)
            dead.set_xlabel("seconds")


def series_by_condition(row: Row) -> dict[str, Series]:
    """Returns the series of the first round of each contestant with series."""
    return {
        result.contestant.name: first.series
        for result in row.results
        if result.rounds and isinstance(first := result.rounds[0], RoundOverTime) and first.series
    }


def _lines(axes: Axes, series: Series, lines: Mapping[str, tuple[str, str]]) -> None:
    for name, (label, colour) in lines.items():
        axes.plot(series["second"], series[name], color=colour, label=label)
    if len(lines) > 1:
        _name_lines(axes)


def _name_lines(axes: Axes) -> None:
    """Draws the legend beside the title, where it covers no line."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, borderaxespad=0, fontsize=9)


def _dress(axes: Axes, title: str, unit: str) -> None:
    if "logarithmic" in unit:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(title)
    axes.set_ylabel(unit)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.margins(x=0.01, y=0.15)
