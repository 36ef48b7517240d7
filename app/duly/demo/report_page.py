"""The report as one self-contained HTML page, for light and dark screens and for screen readers."""

from collections.abc import Sequence
from datetime import date
from html import escape

from duly.demo.plot import COLOURS
from duly.demo.weather import FIRST_DAY, KINDS, LAST_DAY, Day, Month, sum_up

_DARK = {
    "ink": "#e8edf2",
    "faint": "#9aa8b6",
    "rule": "#313c48",
    "band": "#4c3a30",
    "warm": "#f08b57",
    "cold": "#6fb1e6",
    "rain": "#5aa9d2",
}

_STYLE = """
:root { color-scheme: light dark; --font: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  --page: #f4f6f8; --card: #ffffff; LIGHT }
@media (prefers-color-scheme: dark) { :root { --page: #11161c; --card: #1a2129; DARK } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 var(--font); }
main { max-width: 60rem; margin: 0 auto; padding: 3rem 1.25rem; }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; letter-spacing: -0.02em; }
h2 { margin: 0 0 1rem; font-size: 1.1rem; }
.lead { margin: 0.5rem 0 2rem; color: var(--faint); }
section, .facts div { background: var(--card); border: 1px solid var(--rule); border-radius: 0.75rem; }
section { padding: 1.25rem 1.5rem; margin-top: 1.25rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 0; }
.facts div { padding: 1rem 1.25rem; }
dt { color: var(--faint); font-size: 0.85rem; }
dd { margin: 0; font-size: 1.5rem; font-weight: 650; letter-spacing: -0.01em; }
dd small { display: block; color: var(--faint); font-size: 0.85rem; font-weight: 400; letter-spacing: 0; }
figure { margin: 0; }
figure svg { display: block; width: 100%; min-width: 38rem; height: auto; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
caption { text-align: left; color: var(--faint); padding-bottom: 0.75rem; }
th, td { padding: 0.35rem 0.6rem; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--faint); font-weight: 500; border-bottom: 1px solid var(--rule); }
tbody th { font-weight: 500; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tfoot > tr > * { border-top: 2px solid var(--rule); font-weight: 650; }
footer { margin-top: 1.5rem; color: var(--faint); font-size: 0.85rem; }
"""


def render(*, start: date, end: date, days: Sequence[Day], months: Sequence[Month], plot: str) -> str:
    """Returns the page for the days found from `start` to `end`, or a page without data."""
    title = f"Seattle weather, {_long(start)} to {_long(end)}"
    parts = [_facts(days), _figure(plot), _table(days, months)] if days else [_nothing_found()]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_style()}</style>
</head>
<body>
<main>
<h1>Seattle weather</h1>
<p class="lead">{_long(start)} to {_long(end)} · {_count(len(days))} observed</p>
{"".join(parts)}
<footer>Data: daily observations of the National Oceanic and Atmospheric Administration (NOAA), in the public domain, as
packaged in vega_datasets (seattle-weather.csv). Made by Duly's job type report-generation.</footer>
</main>
</body>
</html>
"""


def _style() -> str:
    light = " ".join(f"--{name}: {colour};" for name, colour in COLOURS.items())
    dark = " ".join(f"--{name}: {colour};" for name, colour in _DARK.items())
    return _STYLE.replace("LIGHT", light).replace("DARK", dark)


def _facts(days: Sequence[Day]) -> str:
    warmest = max(days, key=lambda day: day.warmest)
    coldest = min(days, key=lambda day: day.coldest)
    wettest = max(days, key=lambda day: day.precipitation)
    facts = (
        ("Warmest day", f"{warmest.warmest:.1f} °C", _long(warmest.day)),
        ("Coldest night", f"{_signed(coldest.coldest)} °C", _long(coldest.day)),
        ("Wettest day", f"{wettest.precipitation:.1f} mm", _long(wettest.day)),
        ("Dry days", f"{sum(day.precipitation == 0 for day in days):,}", f"of {_count(len(days))}"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for name, value, more in facts)
    return f'<dl class="facts">{cells}</dl>\n'


def _figure(plot: str) -> str:
    label = (
        "Two charts over the same months. Above: the lowest and highest temperature of each day as a band, with the "
        "monthly means of the highs and of the lows as lines. Below: the precipitation of each month as bars. "
        "The table that follows gives the monthly figures."
    )
    svg = plot.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return (
        f'<section><h2>Temperature and precipitation</h2><figure class="wide" tabindex="0">{svg}</figure></section>\n'
    )


def _table(days: Sequence[Day], months: Sequence[Month]) -> str:
    names = ("Month", "Mean high, °C", "Mean low, °C", "Precipitation, mm", *(kind.title() for kind in KINDS), "Days")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(_row(f"{month.first_day:%B %Y}", month) for month in months)
    return f"""<section><h2>Month by month</h2>
<div class="wide" tabindex="0" role="region" aria-label="Monthly figures"><table>
<caption>Mean daily high and low, precipitation, and the number of days of each kind of weather</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
<tfoot>{_row("All", sum_up(days))}</tfoot>
</table></div></section>
"""


def _row(name: str, month: Month) -> str:
    cells = (
        _signed(month.mean_warmest),
        _signed(month.mean_coldest),
        f"{month.precipitation:,.1f}",
        *(str(month.kinds[kind]) for kind in KINDS),
        f"{month.days:,}",
    )
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _nothing_found() -> str:
    range_held = f"{_long(FIRST_DAY)} to {_long(LAST_DAY)}"
    return f"<section><p>The data hold no day of this range: they run from {range_held}.</p></section>\n"


def _long(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _count(days: int) -> str:
    return f"{days:,} day{'' if days == 1 else 's'}"


def _signed(number: float) -> str:
    """Returns one decimal with a minus sign (U+2212), and without one before zero."""
    return f"{number:z.1f}".replace("-", "\N{MINUS SIGN}")
