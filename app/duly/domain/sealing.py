"""Sealing: secrets as they are stored. Who reads the database without the keys learns none of them.

A sealed text is `sealed:<key id>:<base64url of nonce and ciphertext>`: AES-256-GCM (NIST SP 800-38D), whose associated
data are the tenant and what the secret is for, so that one moved to another tenant's row does not open there. Which key
it was is part of the text: the first key of a ring seals, all of them open.
"""

import os
import re
import secrets
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Purpose = Literal["callback", "endpoint", "proof"]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
# Receivers are few and jobs many. It also bounds how often a key is used: random nonces are good for 2**32 sealings.
REMEMBERED: Final = 1024
_PROVEN: Final = "this key sealed it"
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_SEALED: Final = re.compile(r"sealed:([A-Za-z0-9._-]{1,32}):([A-Za-z0-9_-]{38,})")


class InvalidKeys(ValueError):
    """A text that spells no keys; says what is wrong and repeats none of it but ids."""


class CannotUnseal(Exception):
    """A sealed text that does not open. Names the key's id, never a value."""


class Keyring:
    """Keys by id; the first seals."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.sealing_id = next(iter(keys))
        self._sealed = lru_cache(maxsize=REMEMBERED)(self._seal)
        self._unsealed = lru_cache(maxsize=REMEMBERED)(self._unseal)

    @classmethod
    def read(cls, text: str) -> Self:
        """The ring that `id:key,id:key` spells.

        Raises:
            InvalidKeys: it spells none.
        """
        return cls(parse_keys(text))

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._keys)

    def seal(self, text: str, *, tenant_id: int, purpose: Purpose) -> str:
        """The text, sealed with the first key. Takes 3 microseconds; equal texts may get the same seal for a while."""
        return self._sealed(text, tenant_id, purpose)

    def unseal(self, sealed: str, *, tenant_id: int, purpose: Purpose) -> str:
        """What was sealed, whichever key it was.

        Raises:
            CannotUnseal: the key is not here, or it was sealed by another one, for another tenant or purpose.
        """
        return self._unsealed(sealed, tenant_id, purpose)

    def reseal(self, text: str, *, tenant_id: int, purpose: Purpose) -> str:
        """The same secret sealed with the first key, whether it was sealed with another one or is not sealed yet.

        Raises:
            CannotUnseal: as `unseal`.
        """
        if key_id_of(text) == self.sealing_id:
            return text
        clear = self.unseal(text, tenant_id=tenant_id, purpose=purpose) if key_id_of(text) else text
        return self.seal(clear, tenant_id=tenant_id, purpose=purpose)

    def reseal_within(self, text: str, *, tenant_id: int, purpose: Purpose) -> str:
        """The same for each sealed text in a text; only for one that nobody but we write.

        Raises:
            CannotUnseal: as `unseal`.
        """
        return _SEALED.sub(lambda found: self.reseal(found[0], tenant_id=tenant_id, purpose=purpose), text)

    def proof(self) -> str:
        """By this a later ring knows whether its key of the same id is the same key."""
        return self._seal(_PROVEN, 0, "proof")

    def proves(self, proof: str) -> bool:
        """Whether our key of that id made this proof."""
        try:
            return self._unseal(proof, 0, "proof") == _PROVEN
        except CannotUnseal:
            return False

    def _seal(self, text: str, tenant_id: int, purpose: Purpose) -> str:
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._keys[self.sealing_id].encrypt(nonce, text.encode(), _bound_to(tenant_id, purpose))
        return f"sealed:{self.sealing_id}:{urlsafe_b64encode(nonce + ciphertext).rstrip(b'=').decode()}"

    def _unseal(self, sealed: str, tenant_id: int, purpose: Purpose) -> str:
        found = _SEALED.fullmatch(sealed)
        if found is None:
            raise CannotUnseal("a secret is stored in no form that is known")
        key_id, text = found.groups()
        key = self._keys.get(key_id)
        if key is None:
            raise CannotUnseal(f'a secret is sealed with the key "{key_id}", which is not among the secret keys')
        try:
            blob = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return key.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], _bound_to(tenant_id, purpose)).decode()
        except (NotBase64, InvalidTag):
            raise CannotUnseal(
                f'a secret that is sealed with the key "{key_id}" does not open with it: '
                "it was changed, or belongs elsewhere"
            ) from None


def _bound_to(tenant_id: int, purpose: Purpose) -> bytes:
    return f"duly:{purpose}:{tenant_id}".encode()


def key_id_of(text: str) -> str | None:
    """The id of the key that a text is sealed with; None where it is not sealed."""
    found = _SEALED.fullmatch(text)
    return found[1] if found else None


def new_key(key_id: str | None = None) -> str:
    """A new random key as the settings take it; its id is random too where none is given.

    Raises:
        InvalidKeys: that can be no id.
    """
    chosen = secrets.token_hex(4) if key_id is None else key_id
    if not _KEY_ID.fullmatch(chosen):
        raise InvalidKeys("the id of a key has 1 to 32 letters, digits, dots, dashes or underscores")
    return f"{chosen}:{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def parse_keys(text: str) -> dict[str, bytes]:
    """The keys by id, in their order.

    Raises:
        InvalidKeys: one of them is none.
    """
    keys: dict[str, bytes] = {}
    for place, entry in enumerate(text.split(","), 1):
        key_id, colon, spelled = (part.strip() for part in entry.partition(":"))
        # What does not look like an id may be a key in the wrong place, and is not repeated.
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise InvalidKeys(
                f"entry {place} is not `id:key`, the id of 1 to 32 letters, digits, dots, dashes or underscores; "
                "`duly secrets new-key` makes one"
            )
        if key_id in keys:
            raise InvalidKeys(f'the id "{key_id}" is there twice')
        keys[key_id] = _key(key_id, spelled)
    return keys


def _key(key_id: str, spelled: str) -> bytes:
    try:
        key = b64decode(spelled, validate=True)
    except ValueError:
        raise InvalidKeys(f'the key with the id "{key_id}" is not base64') from None
    if len(key) != KEY_BYTES:
        raise InvalidKeys(f'the key with the id "{key_id}" has {len(key)} bytes and not {KEY_BYTES}')
    return key
