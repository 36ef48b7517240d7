"""The secrets that sign webhooks: what their text stands for, and which ones are taken."""

import re
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import Final

_PREFIX: Final = "whsec_"
# A public key is known to everyone: taken for a secret, it would let anyone sign.
_KEYS_OF_PAIRS: Final = ("whsk_", "whpk_")
# The prefix of a secret or a key as a word of its own, wherever it stands and however it is spelled.
_ANY_PREFIX: Final = re.compile(r"(?<![a-z0-9])(whsec_|whsk_|whpk_)", re.IGNORECASE)
_SIGNATURE: Final = re.compile(r"v[0-9]+[a-z]*\s*,", re.IGNORECASE)
# What is no white space and cannot be seen either: a byte order mark and its kind.
_INVISIBLE: Final = "\ufeff\u200b\u200c\u200d\u2060"


@lru_cache(maxsize=1024)  # receivers are few and webhooks many
def secret_key(secret: str) -> bytes:
    """The bytes a secret stands for: base64 after `whsec_` (padding may be missing), else the text in UTF-8.

    Raises `ValueError` where that is no base64, or nothing at all, or a key of a pair (`whsk_`, `whpk_`).
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
            raise ValueError("A secret that begins with whsec_ must go on in base64.") from None
    if not key:
        raise ValueError("A secret must not be empty.")
    return key


@lru_cache(maxsize=1024)  # the same one comes with many jobs
def check_secret(secret: str) -> None:
    """Raises `ValueError` for a secret that published libraries would read otherwise than this service, or not at all.

    It is stricter than `secret_key`, by which secrets that were taken before go on signing. No text repeats a secret.
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
    # Strict decoders refuse both: Go's what is not padded, Rust's what has bits left over.
    if encoded.rstrip("=") != bare:
        raise ValueError("A secret that begins with whsec_ must be base64 whose last digit has no bits left over.")
    missing = padding - (len(text) - len(bare))
    if missing:
        remedy = f'add "{"=" * missing}"' if missing > 0 else f'remove "{"=" * -missing}"'
        raise ValueError(f"A secret that begins with whsec_ must be padded base64: {remedy} at its end.")


def base64_bytes(text: str) -> bytes:
    """What `text` says in base64, of which the padding may be missing. Raises `ValueError` for anything else."""
    bare = text.rstrip("=")
    try:
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:  # a binascii.Error, or the text is not ASCII
        raise ValueError("That is no base64.") from None
