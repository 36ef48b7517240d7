"""Runs the example: `python -m nightly_pipeline`."""

import argparse
import os
import sys
import tempfile

from local_service import running

from duly.client import Client
from nightly_pipeline.receiver import receiving
from nightly_pipeline.story import run


def main() -> None:
    """Runs the service, a receiver of reports, and some nights in a row."""
    parser = argparse.ArgumentParser(
        prog="nightly-pipeline", description="A nightly pipeline over the flights from New York in 2013."
    )
    parser.add_argument("--short", action="store_true", help="two nights of three days")
    parser.add_argument("--nights", type=int, default=4, help="number of nights (default: 4)")
    parser.add_argument("--days", type=int, default=31, help="days that each night loads, up to 31 (default: 31)")
    chosen = parser.parse_args()
    nights, days = (2, 3) if chosen.short else (chosen.nights, chosen.days)
    with tempfile.TemporaryDirectory(prefix="nightly-pipeline-") as folder:
        os.environ["PIPELINE_FOLDER"] = folder  # of the service too
        service = running("nightly_pipeline.jobs", DULY_WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8", DULY_LEASE_SECONDS="5")
        with service as duly, receiving() as reports, Client(duly.url) as client:
            sys.exit(run(duly, client, reports, nights=nights, days=days))


if __name__ == "__main__":
    main()
