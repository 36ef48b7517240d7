"""Job types for tests of the dashboard: an order with steps and a signal, and hostile text in all that a job shows."""

from typing import Any

from pydantic import BaseModel

from duly import Fail, Handlers, JobContext, fixed
from tests.support.handlers import gate, has_entered

handlers = Handlers()
# Would run as a script, or end an element, an attribute or a text, where one of them is not escaped.
HOSTILE = "<img src=x onerror=window.harmed=1>\"'`</pre></script><script>window.harmed=1</script>"


class Name(BaseModel):
    name: str = "default"


def _reserve() -> dict[str, int]:
    return {"seat": 12_345_678_901_234_567_890}


def _release(*, result: Any) -> None:
    """Undoes the reservation."""


@handlers.register("order", retry=fixed(0))
async def order(parameters: Name, job: JobContext) -> Any:
    """Reserves, logs, waits for an approval and charges."""
    await job.step("reserve", _reserve, compensate=_release)
    job.log("reserved", name=parameters.name)
    approval = await job.wait_for("approval")
    await job.step("charge", lambda: "charged")
    return approval


@handlers.register("hostile", max_attempts=1)
async def hostile(parameters: dict[str, Any], job: JobContext) -> Any:
    """Shows hostile text wherever a handler can."""
    job.log(HOSTILE, level="warning", field=HOSTILE)
    await job.step("answer", lambda: HOSTILE)
    await job.progress(40, HOSTILE)
    if parameters.get("fails"):
        raise Fail(HOSTILE, code="<b>CODE</b>")
    return {"text": HOSTILE, HOSTILE: 1}


@handlers.register("logs-at-gate")
async def logs_at_gate(parameters: Name, job: JobContext) -> None:
    """Logs a line, and another one once the gate is open."""
    job.log("before the gate")
    has_entered(parameters.name).set()
    await gate(parameters.name).wait()
    job.log("after the gate")


@handlers.register("parent-job")
async def parent_job(parameters: Name, job: JobContext) -> Any:
    """Runs two child jobs."""
    children = await job.submit_many([{"type": "echo"}, {"type": "echo"}])
    return await children.results()
