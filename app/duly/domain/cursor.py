"""Opaque text: a position that is handed out, comes back, and is known for what it is, or refused."""

import base64
import binascii
import hashlib

_MARK = b"duly cursor"
_CHECK_BYTES = 6


def write_opaque(kind: str, position: bytes) -> str:
    """Text for one kind of position; as another kind it is not understood."""
    return base64.urlsafe_b64encode(_check(kind, position) + position).decode().rstrip("=")


def read_opaque(kind: str, text: str) -> bytes | None:
    """The position, or None for text that `write_opaque` never made of this kind."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    check, position = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if not position or check != _check(kind, position) or write_opaque(kind, position) != text:
        return None
    return position


def _check(kind: str, position: bytes) -> bytes:
    return hashlib.blake2b(kind.encode() + b"\0" + position, key=_MARK, digest_size=_CHECK_BYTES).digest()
