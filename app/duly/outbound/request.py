"""The head of a request, as it goes out."""

from collections.abc import Mapping
from functools import lru_cache

from duly.domain.header_rules import RESERVED_HEADERS, is_token


def head_of(method: str, start: str, headers: Mapping[str, str], *, length: int | None) -> bytes:
    """`start` is what follows the method; without a `length` the request has no body.

    Raises `ValueError` for a header that no message can carry; its text repeats no value. Reserved ones are left out.
    """
    lines = [method, start]
    for given, value in headers.items():
        name = _name(given)
        if not value.isprintable():  # line breaks above all: they would begin another header
            raise ValueError(f"The value of the header {name} holds a control character.")
        if name not in RESERVED_HEADERS:
            lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n" if length is None else f"content-length: {length}\r\n\r\n")
    try:
        return "".join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise ValueError("The value of a header holds a character that is not ASCII.") from None


@lru_cache(maxsize=256)
def _name(given: str) -> str:
    if not is_token(given):
        raise ValueError("The name of a header holds a character that no name may hold.")
    return given.lower()
