"""Which headers may be added to a request of ours: what RFC 9110 lets a message carry, but for our own to say."""

import re
from typing import Final

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# They tell where the message ends, what becomes of the connection, and in what form the answer can be read.
RESERVED_HEADERS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "http2-settings", "keep-alive"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
LONGEST_NAME: Final = 128
LONGEST_VALUE: Final = 4096


def is_token(name: str) -> bool:
    """Whether a header may have this name (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(name) is not None


def header_name_refusal(name: str, *, reserved: frozenset[str] = RESERVED_HEADERS) -> str | None:
    """Why no header of this name may be added, in words that follow the name; None where one may."""
    if not is_token(name):
        return "is no name of a header: letters, digits and !#$%&'*+-.^_`|~ only"
    if len(name) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    if name.lower() in reserved:
        return "is the client's own to send"
    return None


def header_value_refusal(value: str) -> str | None:
    """Why no header may have this value, in words that repeat nothing of it; None where one may."""
    if not (value.isascii() and value.isprintable()):  # line breaks above all: they would begin another header
        return "holds a line break, a control character or one that is not ASCII"
    if value != value.strip(" "):
        return "begins or ends with a space"
    if len(value) > LONGEST_VALUE:
        return f"is longer than {LONGEST_VALUE} characters"
    return None
