"""Cursors: positions as opaque text with a checksum.

The checksum finds cursors of another list, cut off or changed by mistake. It is not a signature: its key is public, and
a forged cursor grants nothing, since every page is read with the rights and filters of its own request.
"""

import base64
import binascii
import hashlib

_KEY = b"duly cursor"
_CHECKSUM_BYTES = 6


def encode_cursor(kind: str, position: bytes) -> str:
    """Returns the cursor of a position. It decodes as this kind only."""
    return base64.urlsafe_b64encode(_checksum(kind, position) + position).decode().rstrip("=")


def decode_cursor(kind: str, text: str) -> bytes | None:
    """Returns the position of a cursor; None for text that is not a cursor of this kind."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    checksum, position = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
    if not position or checksum != _checksum(kind, position) or encode_cursor(kind, position) != text:
        return None
    return position


def _checksum(kind: str, position: bytes) -> bytes:
    return hashlib.blake2b(kind.encode() + b"\0" + position, key=_KEY, digest_size=_CHECKSUM_BYTES).digest()
