"""API keys as text: `duly_<16 characters of id>_<43 characters of secret><6 characters of CRC32>`.

The prefix lets secret scanners find keys. The checksum lets a misspelt or invented key be refused without a query.
"""

import hashlib
import re
import secrets
import zlib
from typing import NamedTuple

PREFIX = "duly_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 16, 43, 6
_KEY = re.compile(rb"duly_([0-9A-Za-z]{16})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")
KEY_ID = re.compile(r"[0-9A-Za-z]{16}")


class ApiKey(NamedTuple):
    """Parts of a key: its id, which is not secret, and the SHA-256 of its secret."""

    key_id: str
    digest: bytes


def generate_key() -> str:
    """Returns a new key. Its secret has 256 bits of entropy."""
    text = f"{PREFIX}{_random(ID_LENGTH)}_{_random(SECRET_LENGTH)}"
    return text + _checksum(text.encode())


def parse_key(text: bytes) -> ApiKey | None:
    """Returns the parts of a key; None if it is malformed or its checksum is wrong."""
    match = _KEY.fullmatch(text)
    if match is None or _checksum(text[:-CHECKSUM_LENGTH]).encode() != match[3]:
        return None
    return ApiKey(match[1].decode(), hashlib.sha256(match[2]).digest())


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(text: bytes) -> str:
    """Returns the CRC32 of a text in base 62."""
    number, digits = zlib.crc32(text), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
