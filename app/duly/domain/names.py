"""Names of queues and job types: those that every address and filter of the HTTP API can tell from each other.

A name may hold slashes, and stands in addresses such as `/queues/{name}/limits`. So it has no empty part, none that
clients take out of an address (`.` and `..`), and does not end as an address below a name does.
"""

LONGEST_NAME = 128
_PART = r"(?:[A-Za-z0-9_:-]|\.[A-Za-z0-9_:-]|\.\.[A-Za-z0-9._:-])[A-Za-z0-9._:-]*"
NAME_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._:-]*(?:/{_PART})*$"
# What comes behind a name in the address of what belongs to it.
BELOW = ("limits", "pause", "resume")
_ENDS = tuple(f"/{word}" for word in BELOW)


def ends_as_address(name: str) -> bool:
    """Returns whether a name would be read as another name and what belongs to that."""
    return name.endswith(_ENDS)
