"""Base64url without padding (RFC 4648, section 5), of which each value has one spelling."""

from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from typing import Final

# To the alphabet of `binascii`; what only that one has becomes invalid.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_FROM_STANDARD: Final = bytes.maketrans(b"+/", b"-_")
# By the length of a text modulo 4: its padding, and the last characters whose unused bits are 0.
_PADDING: Final = (b"", b"", b"==", b"=")
_LAST: Final = (None, None, frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))


def write_base64url(raw: bytes) -> str:
    """Returns base64url without padding."""
    return b2a_base64(raw, newline=False).translate(_FROM_STANDARD).rstrip(b"=").decode()


def read_base64url(text: str, *, longest: int) -> bytes | None:
    """Returns the bytes that `write_base64url` writes as this text; None for any other text, such as one with blanks or
    with more than `longest` characters.
    """
    if len(text) > longest or not text.isascii():
        return None
    written, left = text.encode(), len(text) % 4
    last = _LAST[left]
    if last is not None and written[-1] not in last:
        return None
    try:
        return a2b_base64(written.translate(_TO_STANDARD) + _PADDING[left], strict_mode=True)
    except NotBase64:
        return None
