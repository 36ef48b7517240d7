"""The page of results: written by a run between two marks, with what people wrote around them left as it is."""

from pathlib import Path

from benchmarks import record, report
from benchmarks.record import Rows

BEGIN = "<!-- Written by the benchmark from here: do not edit. -->"
END = "<!-- Written by the benchmark up to here. -->"
TEMPLATE = f"# Performance\n\n{BEGIN}\n{END}\n"


def update(page: Path, measured: Rows) -> list[Path]:
    """Puts what was measured beside what earlier runs measured, and writes page and plots. Returns what was written.

    The folder named after the page keeps the plots and `results.json`, from which the page is made.
    """
    from benchmarks.plots import draw  # noqa: PLC0415  # what draws takes seconds to import

    folder = page.with_suffix("")
    rows = record.read(folder / "results.json") | measured
    drawn = draw(rows, folder)
    text = page.read_text() if page.exists() else TEMPLATE
    page.write_text(between_marks(text, generated(rows, drawn, folder=folder.name)))
    return [page, record.write(rows, folder / "results.json"), *drawn.values()]


def between_marks(text: str, inside: str) -> str:
    """The text with `inside` between the marks. ValueError where a mark is missing."""
    before, begins, rest = text.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not begins or not ends:
        raise ValueError(f"the page needs these two lines, in this order:\n{BEGIN}\n{END}")
    return f"{before}{BEGIN}\n\n{inside}\n\n{END}{after}"


def generated(rows: Rows, drawn: dict[str, Path], *, folder: str) -> str:
    ordered = report.in_order(rows)
    pictures = [f"![{title}]({folder}/{path.name})\n" for title, path in drawn.items()]
    parts = (
        ["## Results\n", *report.summary(ordered)],
        ["\n## Pictures\n", *pictures],
        ["\n## Runs\n", *report.circumstances(ordered)],
        ["\n## Every figure\n", *report.details(ordered)],
    )
    return "\n".join(line for part in parts for line in part).rstrip()
