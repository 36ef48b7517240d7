"""Runs the example: `python -m service_template`."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from local_service import running

from duly.client import Client
from service_template.story import run


def main() -> None:
    """Runs the service and the story of two orders."""
    parser = argparse.ArgumentParser(prog="service-template", description="Creates services from a template.")
    parser.add_argument("--short", action="store_true", help="the same: the example is short")
    parser.add_argument("--folder", type=Path, help="folder of the forge, which is kept (default: a temporary one)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="service-template-") as temporary:
        folder = chosen.folder.absolute() if chosen.folder else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["FORGE_FOLDER"] = str(folder)  # of the service too
        with running("service_template.jobs") as service, Client(service.url) as client:
            sys.exit(run(client))


if __name__ == "__main__":
    main()
