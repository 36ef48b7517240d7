"""The demo's report: its numbers against the data themselves, its page, its refusals."""

import re
from collections import Counter
from datetime import date
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree as ET

import pytest
from pydantic import ValidationError

from duly.demo.report import ReportParameters, make_report
from duly.demo.weather import FIRST_DAY, LAST_DAY, data_file


class Heard:
    """Recorder of a report's progress."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    async def report(self, percent: float, message: str) -> None:
        self.told.append((percent, message))


def parameters(start: str, end: str) -> ReportParameters:
    return ReportParameters.model_validate({"startDate": start, "endDate": end})


def row_of(page: str, name: str) -> list[str]:
    cells = re.search(rf'<th scope="row">{name}</th>(.*?)</tr>', page)
    assert cells is not None
    return [cell.replace("\N{MINUS SIGN}", "-") for cell in re.findall(r"<td>(.*?)</td>", cells[1])]


def rows_of_data(month: str) -> list[list[str]]:
    return [line.split(",") for line in data_file().read_text().splitlines() if line.startswith(month)]


def expected_row(rows: list[list[str]]) -> list[str]:
    kinds = Counter(row[5] for row in rows)
    return [
        f"{fmean(float(row[2]) for row in rows):.1f}",
        f"{fmean(float(row[3]) for row in rows):.1f}",
        f"{sum(float(row[1]) for row in rows):.1f}",
        *(str(kinds[kind]) for kind in ("sun", "fog", "rain", "drizzle", "snow")),
        str(len(rows)),
    ]


async def test_the_pages_numbers_are_those_of_the_data(tmp_path: Path) -> None:
    report = await make_report(parameters("2013-12-01", "2014-02-28"), folder=tmp_path, report=Heard().report)
    page = Path(report.path).read_text(encoding="utf-8")
    december, january, february = (rows_of_data(month) for month in ("2013/12", "2014/01", "2014/02"))
    assert (report.days, report.months) == (31 + 31 + 28, 3)
    assert row_of(page, "December 2013") == expected_row(december)
    assert row_of(page, "February 2014") == expected_row(february)
    assert row_of(page, "All") == expected_row(december + january + february)


async def test_a_range_within_a_month_counts_its_first_and_its_last_day(tmp_path: Path) -> None:
    report = await make_report(parameters("2012-01-02", "2012-01-04"), folder=tmp_path, report=Heard().report)
    page = Path(report.path).read_text(encoding="utf-8")
    assert report.days == 3
    assert row_of(page, "January 2012") == expected_row(rows_of_data("2012/01")[1:4])


async def test_the_page_stands_alone_and_speaks_to_a_screen_reader(tmp_path: Path) -> None:
    report = await make_report(parameters("2012-01-01", "2012-02-29"), folder=tmp_path, report=Heard().report)
    page = Path(report.path).read_text(encoding="utf-8")
    svg = page[page.index("<svg") : page.index("</svg>") + len("</svg>")]
    plot = ET.fromstring(svg)  # noqa: S314 - our own page
    assert plot.get("role") == "img" and plot.get("aria-label")
    assert "<caption>" in page and 'scope="col"' in page and "NOAA" in page
    assert not re.search(r'(src|href)="(?!#)', page), "nothing is loaded from elsewhere"


async def test_the_whole_data_set_is_reported_step_by_step(tmp_path: Path) -> None:
    heard = Heard()
    report = await make_report(parameters(str(FIRST_DAY), str(LAST_DAY)), folder=tmp_path / "new", report=heard.report)
    percents = [percent for percent, _ in heard.told]
    assert percents == sorted(percents) and percents[-1] < 100
    assert (70.0, "read 1,461 of 1,461 days") in heard.told
    assert report.days == (LAST_DAY - FIRST_DAY).days + 1
    assert report.reportUrl == Path(report.path).as_uri()
    assert [file.name for file in (tmp_path / "new").iterdir()] == [Path(report.path).name], "no half page is left"


async def test_a_range_outside_the_data_makes_a_page_that_says_so(tmp_path: Path) -> None:
    report = await make_report(parameters("2024-01-01", "2024-01-31"), folder=tmp_path, report=Heard().report)
    assert report.days == 0
    assert "hold no day of this range" in Path(report.path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"startDate": "2014-02-01", "endDate": "2014-01-31"}, ("endDate",)),
        ({"startDate": "2014-02-30", "endDate": "2014-03-01"}, ("startDate",)),
        ({"startDate": "2014-02-01"}, ("endDate",)),
        ({"startDate": "2014-02-01", "endDate": "2014-02-02", "city": "Rome"}, ("city",)),
    ],
)
def test_bad_parameters_are_refused_by_name(given: dict[str, str], path: tuple[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        ReportParameters.model_validate(given)
    assert [error["loc"] for error in caught.value.errors()] == [path]


def test_one_day_is_a_range() -> None:
    assert parameters("2014-02-01", "2014-02-01").endDate == date(2014, 2, 1)
