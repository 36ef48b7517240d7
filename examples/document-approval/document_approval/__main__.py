"""Runs the example: `python -m document_approval`."""

import argparse
import os
import sys
import tempfile

from local_service import free_port, running

from document_approval.story import run
from duly.client import Client


def main() -> None:
    """Runs the service and the story of some approvals."""
    parser = argparse.ArgumentParser(prog="document-approval", description="Approval of documents by people.")
    parser.add_argument("--short", action="store_true", help="pass a question on to the deputy after a second, not ten")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="document-approval-") as folder:
        os.environ["APPROVAL_FOLDER"] = folder  # of the service too
        port = str(free_port())  # links begin with the address of the service, so it has to be known before the start
        with running("document_approval.jobs", DULY_PORT=port) as service, Client(service.url) as client:
            sys.exit(run(service, client, patience=1 if chosen.short else 10))


if __name__ == "__main__":
    main()
