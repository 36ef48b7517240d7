"""Imports of CSV files with RQ: progress in the job's meta, retries, and a second job that depends on the first."""

import csv
from pathlib import Path

from redis import Redis
from rq import Queue, Retry, get_current_job
from rq.job import Job

redis = Redis()
queue = Queue("imports", connection=redis)


def import_rows(path: str) -> int:
    job = get_current_job()
    rows = list(csv.DictReader(Path(path).read_text().splitlines()))
    for number, _row in enumerate(rows, 1):
        # The row is written to the application's database here.
        job.meta["percent"] = 100 * number // len(rows)
        job.save_meta()
    return len(rows)


def report_import(path: str) -> str:
    rows = get_current_job().dependency.return_value()
    return f"{path}: {rows} rows"


def start_import(path: str) -> tuple[str, str]:
    first = queue.enqueue(
        import_rows,
        path,
        job_id=f"import-{Path(path).stem}",
        job_timeout=3600,
        result_ttl=86400,
        retry=Retry(max=3, interval=[1, 30, 60]),
    )
    second = queue.enqueue(report_import, path, depends_on=first)
    return first.id, second.id


def progress(job_id: str) -> tuple[str, int]:
    job = Job.fetch(job_id, connection=redis)
    return job.get_status(), job.get_meta().get("percent", 0)
