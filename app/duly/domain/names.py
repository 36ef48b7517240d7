"""Names of queues and job types that every path and filter of the HTTP API can distinguish.

A name may have slashes, and is part of paths such as `/queues/{name}/limits`. So it has no empty part, no part that
clients normalize (`.` and `..`), and does not end like a path below a name.
"""

LONGEST_NAME = 128
_PART = r"(?:[A-Za-z0-9_:-]|\.[A-Za-z0-9_:-]|\.\.[A-Za-z0-9._:-])[A-Za-z0-9._:-]*"
NAME_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._:-]*(?:/{_PART})*$"
# Resources below a name.
BELOW = ("limits", "pause", "resume")
_ENDS = tuple(f"/{word}" for word in BELOW)


def ends_as_address(name: str) -> bool:
    """Returns whether a name would be read as another name and a resource below it."""
    return name.endswith(_ENDS)
