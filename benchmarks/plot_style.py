"""Style and output of the plots: colours legible on light and dark backgrounds, reproducible bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.run_context import Kind

INK, RULE = "#767f89", "#8b949e66"
DULY_BLUE, ORANGE, GREEN, GREY = "#2f81c7", "#d9772b", "#3c9d5b", "#8d96a0"
COLOURS = {Kind.DULY: DULY_BLUE, Kind.NAIVE: ORANGE, Kind.PEER: GREEN, Kind.CEILING: GREY}

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "duly",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
}
PNG_DOTS = 110


@contextmanager
def drawing(path: Path, *, rows: int = 1, height: float = 2.4) -> Iterator[list[Axes]]:
    """Yields axes, one below the other, and then writes `path` (an SVG) and a PNG of the same name."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, height * rows), layout="constrained")
        yield list(figure.subplots(rows, 1, squeeze=False)[:, 0])
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        figure.savefig(
            path.with_suffix(".png"), format="png", transparent=True, dpi=PNG_DOTS, metadata={"Software": None}
        )


def short(count: float) -> str:
    """Formats a number for ticks: 12,345,678 as 12.3 M."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if abs(count) >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.3g}"
