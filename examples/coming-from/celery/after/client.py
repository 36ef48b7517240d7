"""Checksums of files with Duly: what the application calls. It needs an HTTP client, and none of the handlers."""

import os

import httpx

duly = httpx.Client(
    base_url=os.environ.get("DULY_URL", "http://127.0.0.1:8000") + "/api/v1",
    headers={"Authorization": f"Bearer {os.environ['DULY_API_KEY']}"} if "DULY_API_KEY" in os.environ else {},
    timeout=30,
)


def start_archive(paths: list[str]) -> str:
    """Submits a checksum of each file, and the manifest after the last of them. Returns the id of the batch."""
    jobs = [{"type": "checksum", "parameters": {"path": path}} for path in paths]
    response = duly.post("/jobs/batch", json={"jobs": jobs, "then": {"type": "manifest"}})
    return response.raise_for_status().json()["batchId"]


def archive_result(batch_id: str) -> dict[str, str] | None:
    """Returns the manifest, or None while the batch or the manifest is unfinished."""
    batch = duly.get(f"/batches/{batch_id}").raise_for_status().json()
    if batch["thenJobId"] is None:
        return None
    return duly.get(f"/jobs/{batch['thenJobId']}").raise_for_status().json()["result"]


def progress(job_id: str) -> tuple[str, float]:
    job = duly.get(f"/jobs/{job_id}").raise_for_status().json()
    return job["status"], job["progress"] or 0


def run_every_night() -> None:
    """Creates the schedule once; 409 means that it exists."""
    response = duly.post(
        "/schedules",
        json={
            "name": "nightly-index",
            "cron": "0 3 * * *",
            "timezone": "Europe/Berlin",
            "submission": {"type": "checksum", "parameters": {"path": "/srv/archive/index"}},
        },
    )
    if response.status_code != httpx.codes.CONFLICT:
        response.raise_for_status()
