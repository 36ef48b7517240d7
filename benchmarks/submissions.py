"""Request bodies, the same for all contestants."""

import json

SINGLE_PATH = "/api/v1/jobs"
MANY_PATH = "/api/v1/jobs/batch"
SECRET = "the-secret-of-the-benchmark"  # noqa: S105 - made up; both ends of the benchmark know it


def submission(index: int = 0, *, callback_url: str | None = None) -> dict[str, object]:
    """Returns a no-op job of typical size (about 150 bytes), with a callback if a URL is given."""
    job: dict[str, object] = {
        "type": "noop",
        "priority": 0,
        "parameters": {"index": index, "recipient": "ada.lovelace@example.com", "template": "welcome-to-the-club"},
    }
    if callback_url is not None:
        job |= {"callbackUrl": callback_url, "callbackSecret": SECRET}
    return job


def one(index: int = 0, *, callback_url: str | None = None) -> bytes:
    return json.dumps(submission(index, callback_url=callback_url), separators=(",", ":")).encode()


def many(count: int) -> bytes:
    return json.dumps({"jobs": [submission() for _ in range(count)]}, separators=(",", ":")).encode()
