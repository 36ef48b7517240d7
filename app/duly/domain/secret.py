"""The secrets that sign webhooks: what their text stands for."""

from base64 import b64decode
from functools import lru_cache
from typing import Final

_PREFIX: Final = "whsec_"
# A public key is known to everyone: taken for a secret, it would let anyone sign.
_KEYS_OF_PAIRS: Final = ("whsk_", "whpk_")


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


def base64_bytes(text: str) -> bytes:
    """What `text` says in base64, of which the padding may be missing. Raises `ValueError` for anything else."""
    bare = text.rstrip("=")
    try:
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:  # a binascii.Error, or the text is not ASCII
        raise ValueError("That is no base64.") from None
