"""The head of a request, as it goes out."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# These are the client's own to say: they tell where the message ends, and what it could not read.
_OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding", "upgrade"})


def head_of(start: str, headers: Mapping[str, str], *, length: int) -> bytes:
    """Raises `ValueError` for a header that no message can carry; its text repeats no value."""
    lines = [start]
    for given, value in headers.items():
        name = _name(given)
        if not value.isprintable():  # line breaks above all: they would begin another header
            raise ValueError(f"The value of the header {name} holds a control character.")
        if name not in _OURS:
            lines.append(f"{name}: {value}\r\n")
    lines.append(f"content-length: {length}\r\n\r\n")
    try:
        return "".join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise ValueError("The value of a header holds a character that is not ASCII.") from None


@lru_cache(maxsize=256)
def _name(given: str) -> str:
    if not _NAME.fullmatch(given):
        raise ValueError("The name of a header holds a character that no name may hold.")
    return given.lower()
