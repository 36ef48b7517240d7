"""Plot of the weather as an SVG in the colours of the page around it."""

import re
import threading
from collections.abc import Sequence
from datetime import date
from io import StringIO
from typing import Any

from duly.demo.weather import EXTRA_MISSING, Day, Month

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
except ModuleNotFoundError as error:
    raise ImportError(EXTRA_MISSING) from error

# The light theme's colours. In the SVG each is replaced by the page's variable of that name, so a dark page is dark.
COLOURS = {
    "ink": "#1d2733",
    "faint": "#647282",
    "rule": "#d9e0e7",
    "band": "#f6d9c4",
    "warm": "#c2501f",
    "cold": "#2b6ca3",
    "rain": "#3f8fb8",
}

# matplotlib is not made for several threads at once, and its settings are one for the whole process.
_ONE_AT_A_TIME = threading.Lock()
_SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "duly", "font.size": 11}
_BAR_SHARE = 0.8


def draw(days: Sequence[Day], months: Sequence[Month]) -> str:
    """The plot as an `<svg>` element: temperatures above, precipitation by month below. Blocks for about a second."""
    with _ONE_AT_A_TIME, mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(10, 5.6), layout=ConstrainedLayoutEngine(hspace=0.06))
        FigureCanvasSVG(figure)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _draw_temperatures(above, days, months)
        _draw_precipitation(below, months)
        text = StringIO()
        figure.savefig(
            text, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return _for_the_page(text.getvalue())


def _draw_temperatures(axes: Axes, days: Sequence[Day], months: Sequence[Month]) -> None:
    axes.fill_between(
        [_as_number(day.day) for day in days],
        [day.coldest for day in days],
        [day.warmest for day in days],
        color=COLOURS["band"],
        linewidth=0,
        label="each day, lowest to highest",
    )
    middles = [_middle(month) for month in months]
    means = (
        ("warm", "monthly mean of highs", [month.mean_warmest for month in months]),
        ("cold", "monthly mean of lows", [month.mean_coldest for month in months]),
    )
    for colour, label, values in means:
        axes.plot(middles, values, color=COLOURS[colour], label=label, linewidth=2, marker="o", markersize=3.5)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.03),
        borderaxespad=0,
        ncols=3,
        frameon=False,
        labelcolor=COLOURS["faint"],
    )
    _dress(axes, title="Temperature, °C")
    axes.spines["bottom"].set_visible(False)


def _draw_precipitation(axes: Axes, months: Sequence[Month]) -> None:
    widths = [month.days * _BAR_SHARE for month in months]
    heights = [month.precipitation for month in months]
    axes.bar([_middle(month) for month in months], heights, width=widths, color=COLOURS["rain"])
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]  # matplotlib.dates has no types
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]  # as above
    axes.xaxis.set_major_formatter(formatter)
    axes.set_ylim(bottom=0)
    _dress(axes, title="Precipitation by month, mm")


def _dress(axes: Axes, *, title: str) -> None:
    axes.set_title(title, loc="left", color=COLOURS["ink"], fontsize=11, fontweight="bold", pad=12)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["rule"])
    axes.tick_params(colors=COLOURS["faint"], length=0, pad=6)
    axes.grid(axis="y", color=COLOURS["rule"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def _middle(month: Month) -> float:
    """The middle of the month's days that are in the report, on matplotlib's axis."""
    return _as_number(month.first_day) + (month.days - 1) / 2


def _as_number(day: date) -> float:
    """The day on matplotlib's axis, which counts from 1970-01-01."""
    return float((day - date(1970, 1, 1)).days)


def _for_the_page(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'font-family: [^;"]*', "font-family: var(--font)", svg)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg
