"""Names of queues and job types that every path and filter of the HTTP API can distinguish.

A name may have slashes, and is part of paths such as `/queues/{name}/limits`. So it has no empty part, no part that
clients normalize (`.` and `..`), and does not end like a path below a name.
"""

import re

LONGEST_NAME = 128
_PART = r"(?:[A-Za-z0-9_:-]|\.[A-Za-z0-9_:-]|\.\.[A-Za-z0-9._:-])[A-Za-z0-9._:-]*"
NAME_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._:-]*(?:/{_PART})*$"
# Resources below a name.
BELOW = ("limits", "pause", "resume")
_ENDS = tuple(f"/{word}" for word in BELOW)


def ends_as_address(name: str) -> bool:
    """Returns whether a name would be read as another name and a resource below it."""
    return name.endswith(_ENDS)


SCHEDULE_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
_NAME = re.compile(NAME_PATTERN)
_SCHEDULE_NAME = re.compile(SCHEDULE_NAME_PATTERN)


def is_name(text: str) -> bool:
    """Returns whether a text is a name of a queue or a job type."""
    return len(text) <= LONGEST_NAME and bool(_NAME.fullmatch(text)) and not ends_as_address(text)


def is_schedule_name(text: str) -> bool:
    """Returns whether a text is a name of a schedule."""
    return bool(_SCHEDULE_NAME.fullmatch(text))
