"""Values that a shell completes: names and ids of a running service."""

import os
import re

# A shell evaluates what it completes: only names without characters that mean something to one.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+-]*")
# A shell waits for completions.
_SECONDS = 1.0
_MOST = 100


def complete_job_types() -> list[str]:
    """Returns the names of the job types."""
    return _names("job-types", "type")


def complete_queues() -> list[str]:
    """Returns the names of the queues."""
    return _names("queues", "queue")


def complete_schedules() -> list[str]:
    """Returns the names of the schedules."""
    return _names("schedules", "name")


def complete_jobs() -> list[str]:
    """Returns the ids of the newest jobs."""
    return _names("jobs", "jobId")


def _names(resources: str, member: str) -> list[str]:
    """Returns names of a list; none if the service cannot be reached or refuses, since a shell shows no errors."""
    from duly.cli.terminal_client import TerminalClient  # noqa: PLC0415  # only where a shell completes
    from duly.client import ClientError  # noqa: PLC0415
    from duly.client.default_url import DEFAULT_URL  # noqa: PLC0415
    from duly.secret_file import api_key_of_environment  # noqa: PLC0415

    try:
        with TerminalClient(
            os.environ.get("DULY_URL") or DEFAULT_URL, api_key=api_key_of_environment(), timeout=_SECONDS
        ) as client:
            items = client.read(resources, limit=_MOST)["items"]
    except (ClientError, ValueError):
        return []
    return [name for item in items if _PLAIN_NAME.fullmatch(name := str(item.get(member) or ""))]
