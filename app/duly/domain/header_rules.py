"""Headers that a user may add to an outgoing request (RFC 9110), without those that the client sends itself."""

import re
from typing import Final

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Headers about framing, the connection and the encoding of the response.
RESERVED_HEADERS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "http2-settings", "keep-alive"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
LONGEST_NAME: Final = 128
LONGEST_VALUE: Final = 4096


def is_token(name: str) -> bool:
    """Returns whether a header may have this name (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(name) is not None


def header_name_refusal(name: str, *, reserved: frozenset[str] = RESERVED_HEADERS) -> str | None:
    """Returns the error of a header name, as a clause after the name; None if it may be added."""
    if not is_token(name):
        return "is not a valid header name; allowed are letters, digits and !#$%&'*+-.^_`|~"
    if len(name) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    if name.lower() in reserved:
        return "is reserved for the service"
    return None


def header_value_refusal(value: str) -> str | None:
    """Returns the error of a header value, as a clause that does not repeat it; None if it is valid."""
    if not (value.isascii() and value.isprintable()):  # a line break would begin another header
        return "contains a line break, a control character or a character that is not ASCII"
    if value != value.strip(" "):
        return "begins or ends with a space"
    if len(value) > LONGEST_VALUE:
        return f"is longer than {LONGEST_VALUE} characters"
    return None
