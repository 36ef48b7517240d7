"""Handlers of tests that inject faults. Each completes eventually."""

from duly import Handlers, JobContext, fixed

handlers = Handlers()


@handlers.register("plain", retry=fixed(0), max_attempts=5)
async def plain(parameters: dict[str, int]) -> int:
    return len(parameters)


@handlers.register("talks", retry=fixed(0), max_attempts=5)
async def talks(job: JobContext) -> None:
    await job.progress(50, "half")
    job.log("half", rows=1)
    await job.checkpoint({"at": 1})


@handlers.register("raises", retry=fixed(0), max_attempts=5)
async def raises(job: JobContext) -> None:
    if job.attempt == 1:
        raise ValueError("the first time")


@handlers.register("in-thread", retry=fixed(0), max_attempts=5)
def in_thread(job: JobContext) -> bool:
    job.log("in a thread")
    return job.cancelled
