"""Runs the example: `python -m report`."""

import argparse
import sys
from pathlib import Path

from flights import FIRST_DAY, LAST_DAY
from local_service import running

from duly.client import Client
from report.story import run


def main() -> None:
    """Runs the service and the story of a report on it."""
    parser = argparse.ArgumentParser(prog="report", description="Generates a report as a job, with progress.")
    parser.add_argument("--short", action="store_true", help="report on three months instead of the year")
    parser.add_argument("--folder", type=Path, default=Path("reports"), help="folder of the reports (default: reports)")
    chosen = parser.parse_args()
    last_day = FIRST_DAY.replace(month=3, day=31) if chosen.short else LAST_DAY
    folder = chosen.folder.absolute()
    with running("report.handlers", REPORT_FOLDER=str(folder)) as service, Client(service.url) as client:
        sys.exit(run(client, FIRST_DAY, last_day, folder=folder))


if __name__ == "__main__":
    main()
