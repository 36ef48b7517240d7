"""Imports of CSV files with Duly: the handlers. Run them with `duly serve --handlers imports`."""

import csv
from pathlib import Path

from pydantic import BaseModel

from duly import Handlers, JobContext, exponential

handlers = Handlers()


class Import(BaseModel):
    path: str


class Report(BaseModel):
    path: str
    rows: int


@handlers.register("import-rows", timeout=3600, max_attempts=4, retry=exponential(1, cap=60))
def import_rows(parameters: Import, job: JobContext) -> int:
    rows = list(csv.DictReader(Path(parameters.path).read_text().splitlines()))
    for number, _row in enumerate(rows, 1):
        # The row is written to the application's database here.
        if number % 100 == 0 or number == len(rows):
            job.progress(100 * number / len(rows), f"row {number} of {len(rows)}")
    return len(rows)


@handlers.register("report-import")
def report_import(parameters: Report) -> str:
    return f"{parameters.path}: {parameters.rows} rows"


@handlers.register("import-and-report", timeout=7200)
async def import_and_report(parameters: Import, job: JobContext) -> str:
    """Runs the two jobs one after the other; the result of the first becomes a parameter of the second."""
    rows = await (await job.submit("import-rows", parameters)).result()
    report = await job.submit("report-import", Report(path=parameters.path, rows=rows))
    return await report.result()
