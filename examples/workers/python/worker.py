"""Worker for Duly in Python, with the standard library only.

Runs two job types: `render` reports progress after each page, continues from its checkpoint after a crash, and submits
a `mail` as child job. Start several of these for more throughput:

    DULY_URL=http://127.0.0.1:8000 DULY_KEY=duly_… python worker.py
"""

import json
import os
import socket
import time
import urllib.error
import urllib.request
from typing import Any

URL = os.environ.get("DULY_URL", "http://127.0.0.1:8000").rstrip("/") + "/api/v1/leases"
KEY = os.environ.get("DULY_KEY", "")
LEASE_SECONDS = int(os.environ.get("LEASE_SECONDS", "30"))
NAME = f"{socket.gethostname()}-{os.getpid()}"


class Stopped(Exception):
    """The job was cancelled, or its lease is lost."""


def post(path: str, body: Any, *, seconds: float = 10) -> Any:
    """Sends a request until the service responds: each one may be repeated."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {KEY}"} if KEY else {})
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers)  # our own URL
    while True:
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == 409:  # LEASE_LOST: another worker may run the job
                raise Stopped from None
            if error.code not in {429, 503}:
                raise RuntimeError(f"{path}: {error.code} {error.read().decode()}") from None
        except OSError:
            pass
        time.sleep(0.5)


def render(lease: dict[str, Any]) -> Any:
    """Renders the pages that are left, and submits a mail about them."""
    parameters, path = lease["job"]["parameters"], f"/{lease['leaseId']}"
    pages: int = parameters["pages"]
    for page in range((lease["checkpoint"] or {"page": 0})["page"], pages):
        time.sleep(parameters.get("seconds", 0))
        report = {"progress": 100 * (page + 1) / pages, "message": f"page {page + 1}", "checkpoint": {"page": page + 1}}
        if post(f"{path}/heartbeat", report)["cancelRequested"]:
            raise Stopped
    child = {"type": "mail", "parameters": {"pages": pages}}
    return {"pages": pages, "mail": post(f"{path}/jobs", {"jobs": [child]})["jobIds"][0]}


def mail(lease: dict[str, Any]) -> Any:
    """Sends a mail."""
    return {"sent": True, "token": lease["idempotencyToken"]}


HANDLERS = {"render": render, "mail": mail}


def run(lease: dict[str, Any]) -> None:
    """Runs one job, and reports its end."""
    path = f"/{lease['leaseId']}"
    try:
        try:
            result = HANDLERS[lease["job"]["type"]](lease)
        except Stopped:
            post(f"{path}/fail", {"error": {"code": "STOPPED", "message": "Stopped on request."}})
        except Exception as error:  # noqa: BLE001  # any error of a handler
            post(f"{path}/fail", {"error": {"message": f"{type(error).__name__}: {error}"}})
        else:
            post(f"{path}/complete", {"result": result})
    except Stopped:
        print(f"lost the lease of job {lease['job']['jobId']}", flush=True)


def main() -> None:
    """Claims and runs one job after the other."""
    claim = {"types": list(HANDLERS), "waitSeconds": 30, "leaseSeconds": LEASE_SECONDS, "workerName": NAME}
    while True:
        for lease in post("", claim, seconds=60)["leases"]:
            run(lease)


if __name__ == "__main__":
    main()
