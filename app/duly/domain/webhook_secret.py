"""Secrets that sign webhooks: their key bytes, and the checks of new ones."""

import re
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import Final

_PREFIX: Final = "whsec_"
# A public key used as a secret would let anyone sign.
_KEYS_OF_PAIRS: Final = ("whsk_", "whpk_")
# Prefix of a secret or a key as a word, in any case and position.
_ANY_PREFIX: Final = re.compile(r"(?<![a-z0-9])(whsec_|whsk_|whpk_)", re.IGNORECASE)
_SIGNATURE: Final = re.compile(r"v[0-9]+[a-z]*\s*,", re.IGNORECASE)
# Invisible characters that are not white space, such as the byte order mark.
_INVISIBLE: Final = "\ufeff\u200b\u200c\u200d\u2060"


@lru_cache(maxsize=1024)  # many webhooks share few receivers
def secret_key(secret: str) -> bytes:
    """Returns the key bytes: base64 after `whsec_` (padding is optional), otherwise the text in UTF-8.

    Raises:
        ValueError: the base64 is invalid, the text is empty, or it is a key of a pair (`whsk_`, `whpk_`).
    """
    if secret.startswith(_KEYS_OF_PAIRS):
        raise ValueError("A secret must not begin with whsk_ or whpk_: those are the keys of a pair.")
    text = secret.removeprefix(_PREFIX)
    if text == secret:
        key = secret.encode()
    else:
        try:
            key = base64_bytes(text)
        except ValueError:
            raise ValueError("A secret that begins with whsec_ must continue in base64.") from None
    if not key:
        raise ValueError("A secret must not be empty.")
    return key


@lru_cache(maxsize=1024)  # many jobs share a secret
def check_secret(secret: str) -> None:
    """Checks that published libraries read a secret as this service does. Stricter than `secret_key`, which also
    accepts secrets that were stored before.

    Raises:
        ValueError: libraries would read it differently, or not at all; the message does not repeat it.
    """
    if any(edge.isspace() or edge in _INVISIBLE for edge in (secret[:1], secret[-1:]) if edge):
        raise ValueError("A secret must not begin or end with white space.")
    found = _ANY_PREFIX.search(secret)
    if found is not None and found[1].lower() in _KEYS_OF_PAIRS:
        raise ValueError("A secret must not be a key of a pair (whsk_, whpk_).")
    if found is not None and not secret.startswith(_PREFIX):
        raise ValueError("A secret in base64 must begin with whsec_ itself, in lower case: remove what precedes it.")
    if _SIGNATURE.match(secret):
        raise ValueError("A secret must not begin with v1, as signatures do.")
    if secret.startswith(_PREFIX):
        _check_base64(secret.removeprefix(_PREFIX))
    secret_key(secret)


def _check_base64(text: str) -> None:
    key = secret_key(_PREFIX + text)
    encoded, bare = b64encode(key).decode(), text.rstrip("=")
    padding = len(encoded) - len(encoded.rstrip("="))
    # Strict decoders reject both: Go's missing padding, Rust's trailing bits.
    if encoded.rstrip("=") != bare:
        raise ValueError("A secret that begins with whsec_ must be base64 without trailing bits in its last digit.")
    missing = padding - (len(text) - len(bare))
    if missing:
        remedy = f'add "{"=" * missing}"' if missing > 0 else f'remove "{"=" * -missing}"'
        raise ValueError(f"A secret that begins with whsec_ must be padded base64: {remedy} at its end.")


def base64_bytes(text: str) -> bytes:
    """Decodes base64 whose padding may be missing.

    Raises:
        ValueError: not base64.
    """
    bare = text.rstrip("=")
    try:
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:  # a binascii.Error, or the text is not ASCII
        raise ValueError("Not base64.") from None
