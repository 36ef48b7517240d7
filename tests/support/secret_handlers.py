"""A job type whose handler holds a secret of its own and gives it to the jobs that it submits."""

from typing import Any

from duly import Handlers, JobContext

handlers = Handlers()

# With characters that JSON escapes; the plain part survives every escape.
PLAIN_PART = "MarkOfTheSecret7f3a9c"
SECRET = f'say "Zoë" \\ {PLAIN_PART} 🔑'


@handlers.register("parent-with-secret")
async def parent_with_secret(parameters: dict[str, str], job: JobContext) -> Any:
    """Submits one child and a batch of two, each called back."""
    called_back: Any = {"callback_url": parameters["url"], "callback_secret": SECRET}
    child = await job.submit("echo", **called_back)
    children = await job.submit_many([{"type": "echo", **called_back}] * 2, name="many")
    await child.result()
    return await children.results()
