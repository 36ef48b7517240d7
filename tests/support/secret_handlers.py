"""Job type whose handler has a secret and passes it to the jobs that it submits."""

from typing import Any

from duly import Handlers, JobContext

handlers = Handlers()

# With characters that JSON escapes, and a plain part that no escape changes.
PLAIN_PART = "MarkOfTheSecret7f3a9c"
SECRET = f'say "Zoë" \\ {PLAIN_PART} 🔑'


@handlers.register("parent-with-secret")
async def parent_with_secret(parameters: dict[str, str], job: JobContext) -> Any:
    """Submits one child and a batch of two, each with a callback."""
    called_back: Any = {"callback_url": parameters["url"], "callback_secret": SECRET}
    child = await job.submit("echo", **called_back)
    children = await job.submit_many([{"type": "echo", **called_back}] * 2, name="many")
    await child.result()
    return await children.results()
