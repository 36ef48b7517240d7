"""The secrets that sign webhooks: what their text stands for."""

import binascii
from base64 import b64decode
from functools import lru_cache
from typing import Final

_PREFIX: Final = "whsec_"


@lru_cache(maxsize=1024)  # receivers are few and webhooks many
def secret_key(secret: str) -> bytes:
    """The bytes a secret stands for: base64 after `whsec_` (padding may be missing), else the text in UTF-8.

    Raises `ValueError` where that is no base64, or nothing at all.
    """
    text = secret.removeprefix(_PREFIX)
    if text == secret:
        key = secret.encode()
    else:
        try:
            key = b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("A secret that begins with whsec_ must go on in base64.") from None
    if not key:
        raise ValueError("A secret must not be empty.")
    return key
