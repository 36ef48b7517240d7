"""Report as a web page and as CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from html import escape

from report.punctuality import Punctuality

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap }
th:first-child { text-align: left; font-weight: 600 }
div { overflow-x: auto }
"""
_COLUMNS = ("flights", "cancelled", "late", "on_time_percent", "median_delay", "p90_delay")

Tallies = Mapping[tuple[str, int], Punctuality]


def as_page(title: str, tallies: Tallies, names: Mapping[str, str]) -> str:
    """Returns the page: all figures by airline, then the share on time by airline and month, coloured."""
    months = sorted({month for _, month in tallies})
    totals = _by_airline(tallies)
    whole = _table(("airline", *(column.replace("_", " ") for column in _COLUMNS)), _whole_rows(totals, names))
    heads = ("airline", *(_MONTHS[month - 1] for month in months))
    monthly = _table(heads, _month_rows(tallies, months, totals, names))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1>\n<h2>By airline</h2>\n<div>{whole}</div>\n"
        f"<h2>On time by month, in percent of the flights</h2>\n<div>{monthly}</div>\n</html>\n"
    )


def as_csv(tallies: Tallies) -> str:
    """Returns a line for each airline and month."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("airline", "month", *_COLUMNS))
    lines.writerows((airline, month, *_figures(tally)) for (airline, month), tally in sorted(tallies.items()))
    return text.getvalue()


def _figures(tally: Punctuality) -> tuple[object, ...]:
    on_time = round(tally.on_time_percent, 1)
    return tally.flights, tally.cancelled, tally.late, on_time, tally.percentile(50), tally.percentile(90)


def _by_airline(tallies: Tallies) -> dict[str, Punctuality]:
    totals: dict[str, Punctuality] = {}
    for (airline, _), tally in tallies.items():
        totals[airline] = totals.get(airline, Punctuality()) + tally
    return dict(sorted(totals.items(), key=lambda item: -item[1].on_time_percent))


def _whole_rows(totals: Mapping[str, Punctuality], names: Mapping[str, str]) -> Iterator[str]:
    for airline, tally in totals.items():
        cells = "".join(f"<td>{'&ndash;' if figure is None else figure}</td>" for figure in _figures(tally))
        yield f"<tr><th>{escape(names.get(airline, airline))}</th>{cells}</tr>"


def _month_rows(
    tallies: Tallies, months: Iterable[int], airlines: Iterable[str], names: Mapping[str, str]
) -> Iterator[str]:
    for airline in airlines:
        cells = "".join(_coloured(tallies.get((airline, month))) for month in months)
        yield f"<tr><th>{escape(names.get(airline, airline))}</th>{cells}</tr>"


def _coloured(tally: Punctuality | None) -> str:
    if tally is None:
        return "<td>&ndash;</td>"
    # From red at 40 % to green at 90 %, the range of nearly all months.
    hue = min(max((tally.on_time_percent - 40) * 2.4, 0), 120)
    return f'<td style="background: hsl({hue:.0f} 60% 85%)">{tally.on_time_percent:.0f}</td>'


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
