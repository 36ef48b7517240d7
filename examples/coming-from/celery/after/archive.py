"""Checksums of files with Duly: the handlers. Run them with `duly serve --handlers archive`."""

import hashlib
from pathlib import Path

from pydantic import BaseModel

from duly import Handlers, JobContext, exponential

handlers = Handlers()


class File(BaseModel):
    path: str


class Checksum(BaseModel):
    path: str
    sha256: str


class Batch(BaseModel):
    batchId: str
    completed: int
    failed: int
    cancelled: int


class Manifest(BaseModel):
    batch: Batch  # added by Duly to the job that follows a batch


@handlers.register("checksum", timeout=600, max_attempts=5, retry=exponential(1, cap=60))
def checksum(parameters: File, job: JobContext) -> Checksum:
    data = Path(parameters.path).read_bytes()
    job.progress(50, "read")
    return Checksum(path=parameters.path, sha256=hashlib.sha256(data).hexdigest())


@handlers.register("manifest")
async def manifest(parameters: Manifest, job: JobContext) -> dict[str, str]:
    results = [item["result"] async for item in job.batch_results(parameters.batch.batchId)]
    return {result["path"]: result["sha256"] for result in results if result}
