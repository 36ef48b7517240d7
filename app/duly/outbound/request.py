"""Head of a request."""

from collections.abc import Mapping
from functools import lru_cache

from duly.domain.header_rules import RESERVED_HEADERS, is_token


def head_of(method: str, start: str, headers: Mapping[str, str], *, length: int | None) -> bytes:
    """Returns the head of a request. `start` follows the method; without a `length` the request has no body. Reserved
    headers are left out.

    Raises:
        ValueError: a header is invalid; the message does not repeat its value.
    """
    lines = [method, start]
    for given, value in headers.items():
        name = _name(given)
        if not value.isprintable():  # a line break would begin another header
            raise ValueError(f"The value of the header {name} contains a control character.")
        if name not in RESERVED_HEADERS:
            lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n" if length is None else f"content-length: {length}\r\n\r\n")
    try:
        return "".join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise ValueError("The value of a header contains a character that is not ASCII.") from None


@lru_cache(maxsize=256)
def _name(given: str) -> str:
    if not is_token(given):
        raise ValueError("The name of a header contains an invalid character.")
    return given.lower()
