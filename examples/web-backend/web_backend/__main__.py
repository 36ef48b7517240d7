"""The example on one machine: `python -m web_backend`, until Ctrl-C; with `--short` one import, then it ends."""

import argparse
import importlib.util
import json
import secrets
import signal
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from local_service import LocalService, free_port, running

from web_backend.backend_process import Backend

CONFIRM_SECONDS = 120


def backend_of(duly: LocalService, key: str, folder: str) -> Backend:
    """Returns the backend of a service, on a free port."""
    url = f"http://127.0.0.1:{free_port()}"
    addresses = {"DULY_URL": duly.url, "WEB_BACKEND_URL": url, "WEB_BACKEND_FOLDER": folder}
    return Backend(url, addresses | {"DULY_API_KEY": key, "WEB_BACKEND_WEBHOOK_SECRET": secrets.token_hex(32)})


def import_sample(duly: LocalService, backend: Backend) -> int:
    """Acts as the page: uploads the sample, follows the import over a crash of Duly, and verifies its outcome.

    Returns the exit code: 1 if the outcome is wrong.
    """
    file, address = sample().read_bytes(), f"{backend.url}/imports/{uuid.uuid4()}"
    airports = len(file.splitlines()) - 1
    print(f"Uploading {airports:,} airports.")
    with urllib.request.urlopen(urllib.request.Request(address, file, method="PUT"), timeout=60):
        pass
    follow(f"{address}/events", duly)
    told = outcome(address)
    print(f"The webhook says: {json.dumps(told['result'])}")
    if told["status"] == "completed" and told["result"]["stored"] == airports:
        return 0
    print(f"FAULT: the import is {told['status']}; {airports:,} airports were to be stored")
    return 1


def follow(url: str, duly: LocalService) -> None:
    """Prints the events of an import to its end. Kills the service at 40 % and starts it again."""
    killed = False
    for kind, event in events(url):
        print(f"  {kind}  {event.get('message', '')}", flush=True)
        if not killed and event.get("progress", 0) > 40:
            print("Killing the service and starting it again. The stream of the page stays open.", flush=True)
            duly.kill()
            duly.start()
            killed = True


def events(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the events of a stream, to the end of the job."""
    kind = ""
    with urllib.request.urlopen(url, timeout=60) as response:
        for line in response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            if name == "data":
                yield kind, json.loads(value)


def outcome(url: str) -> dict[str, Any]:
    """Returns the import once the webhook has arrived at the backend."""
    deadline = time.monotonic() + CONFIRM_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(url, timeout=60) as response:
            found: dict[str, Any] = json.load(response)
        if found["status"] != "submitted":
            return found
        time.sleep(0.1)
    raise SystemExit(f"No webhook arrived within {CONFIRM_SECONDS} seconds.")


def sample() -> Path:
    """Returns the file of airports in the package vega_datasets, without importing it, and pandas with it."""
    package = importlib.util.find_spec("vega_datasets")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("The package vega_datasets is missing: pip install vega-datasets")
    return Path(package.submodule_search_locations[0], "_data", "airports.csv")


def main() -> None:
    """Runs the service and the backend, and either waits for people or imports the sample."""
    parser = argparse.ArgumentParser(
        prog="web-backend", description="A web backend that imports files, with a live progress bar."
    )
    parser.add_argument(
        "--short", action="store_true", help="import the sample once, with a crash of the service, and end"
    )
    parser.add_argument("--rows-per-second", default="1000", help="speed of imports (default: 1000)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="web-backend-") as folder:
        key = secrets.token_hex(24)
        service = running(
            "web_backend.jobs",
            DULY_API_KEY=key,
            DULY_WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8",  # the backend is on this machine
            DULY_LEASE_SECONDS="5",  # a job of a killed service goes on after five seconds
            WEB_BACKEND_FOLDER=folder,
            WEB_BACKEND_ROWS_PER_SECOND=chosen.rows_per_second,
        )
        with service as duly, backend_of(duly, key, folder) as backend:
            if chosen.short:
                sys.exit(import_sample(duly, backend))
            print(
                f"Open {backend.url} and import {sample()}. Ctrl-C stops the example and deletes its data.", flush=True
            )
            with suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    main()
