"""Imports of CSV files with Duly: what the application calls. It needs an HTTP client, and none of the handlers."""

import os

from duly.client import Client

duly = Client(os.environ.get("DULY_URL", "http://127.0.0.1:8000"), api_key=os.environ.get("DULY_API_KEY"))


def start_import(path: str) -> str:
    """Submits the import; while it is unfinished, calling this again returns the same job."""
    return duly.submit("import-and-report", {"path": path}, queue="imports", unique_key=path)["jobId"]


def progress(job_id: str) -> tuple[str, float]:
    job = duly.get(job_id)
    return job["status"], job["progress"] or 0


def result(job_id: str) -> str:
    """Waits for the end, and returns the result."""
    return duly.wait(job_id)["result"]
