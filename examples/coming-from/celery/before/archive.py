"""Checksums of files with Celery: a retried task with progress, a chord, and a periodic task."""

import hashlib
from pathlib import Path

from celery import Celery, Task, chord
from celery.result import AsyncResult
from celery.schedules import crontab

app = Celery("archive", broker="redis://localhost:6379/0", backend="redis://localhost:6379/1")
app.conf.timezone = "Europe/Berlin"
app.conf.beat_schedule = {
    "nightly": {"task": "archive.checksum", "schedule": crontab(hour=3, minute=0), "args": ("/srv/archive/index",)},
}


@app.task(
    bind=True,
    name="archive.checksum",
    acks_late=True,
    autoretry_for=(OSError,),
    retry_backoff=1,
    retry_backoff_max=60,
    max_retries=4,
    time_limit=600,
)
def checksum(self: Task, path: str) -> dict[str, str]:
    data = Path(path).read_bytes()
    self.update_state(state="PROGRESS", meta={"percent": 50})
    return {"path": path, "sha256": hashlib.sha256(data).hexdigest()}


@app.task(name="archive.manifest")
def manifest(results: list[dict[str, str]]) -> dict[str, str]:
    return {result["path"]: result["sha256"] for result in results}


def start_archive(paths: list[str]) -> str:
    """Starts a checksum of each file, and the manifest after the last of them."""
    return chord(checksum.s(path) for path in paths)(manifest.s()).id


def progress(task_id: str) -> tuple[str, int]:
    result = AsyncResult(task_id, app=app)
    percent = result.info["percent"] if result.state == "PROGRESS" else 0
    return result.state, percent
