"""Handler that Duly runs in the benchmark, written as a user would write it."""

from pydantic import BaseModel

from benchmarks.start_signal import StartSignal
from duly import Handlers, JobContext

handlers = Handlers()
start_signal = StartSignal()


class NoopParameters(BaseModel):
    index: int
    recipient: str
    template: str


@handlers.register("noop")
async def noop(parameters: NoopParameters, job: JobContext) -> dict[str, int]:
    del job
    start_signal.send(parameters.index)
    return {"index": parameters.index}
