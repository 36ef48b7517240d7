"""Sealing: encryption of stored secrets, so that the database alone reveals none of them.

A sealed text is `sealed:<key id>:<base64url of nonce and ciphertext>`: AES-256-GCM (NIST SP 800-38D), with the tenant
and the purpose as associated data, so that a text moved to the row of another tenant cannot be opened. The text names
its key: the first key of a ring encrypts, all of them decrypt.
"""

import hmac
import os
import re
import secrets
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Purpose = Literal["callback", "endpoint", "proof"]

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 16
NONCE_BYTES: Final = 12
# Jobs share few receivers. The cache also limits the uses of a key: random nonces are safe for 2**32 encryptions.
REMEMBERED: Final = 1024
_PROVEN: Final = "this key sealed it"
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_SEALED: Final = re.compile(r"sealed:([A-Za-z0-9._-]{1,32}):([A-Za-z0-9_-]{38,})")


class InvalidKeys(ValueError):
    """Malformed list of keys. The message repeats nothing of it except ids."""


class CannotUnseal(Exception):
    """Sealed text that cannot be decrypted. The message names the key id, never a value."""


class Keyring:
    """Keys by id; the first one encrypts."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        # Derived keys: no key is used for two algorithms.
        signing_keys = (blake2b(b"duly:signing", key=key, digest_size=KEY_BYTES).digest() for key in keys.values())
        # Copied for each signature: half as long as a new one with the key.
        self._signers = [blake2b(key=key, digest_size=SIGNATURE_BYTES) for key in signing_keys]
        self.sealing_id = next(iter(keys))
        self._sealed = lru_cache(maxsize=REMEMBERED)(self._seal)
        self._unsealed = lru_cache(maxsize=REMEMBERED)(self._unseal)

    @classmethod
    def read(cls, text: str) -> Self:
        """Parses `id:key,id:key`.

        Raises:
            InvalidKeys: the text is malformed.
        """
        return cls(parse_keys(text))

    @property
    def ids(self) -> frozenset[str]:
        """Returns the ids of the keys."""
        return frozenset(self._keys)

    def seal(self, text: str, *, tenant_id: int, purpose: Purpose) -> str:
        """Encrypts a text with the first key, in 3 microseconds. Equal texts may get equal results for a while."""
        return self._sealed(text, tenant_id, purpose)

    def unseal(self, sealed: str, *, tenant_id: int, purpose: Purpose) -> str:
        """Decrypts a sealed text with the key that it names.

        Raises:
            CannotUnseal: the key is missing, or the text was sealed by another key, for another tenant or purpose.
        """
        return self._unsealed(sealed, tenant_id, purpose)

    def reseal(self, text: str, *, tenant_id: int, purpose: Purpose) -> str:
        """Returns a secret sealed with the first key, whether it was sealed with another key or not at
        all.

        Raises:
            CannotUnseal: as for `unseal`.
        """
        if key_id_of(text) == self.sealing_id:
            return text
        clear = self.unseal(text, tenant_id=tenant_id, purpose=purpose) if key_id_of(text) else text
        return self.seal(clear, tenant_id=tenant_id, purpose=purpose)

    def reseal_within(self, text: str, *, tenant_id: int, purpose: Purpose) -> str:
        """Reseals each sealed text in a text; only for texts that the service wrote itself.

        Raises:
            CannotUnseal: as for `unseal`.
        """
        return _SEALED.sub(lambda found: self.reseal(found[0], tenant_id=tenant_id, purpose=purpose), text)

    def sign(self, content: bytes) -> bytes:
        """Returns a signature of this content by the first key: keyed BLAKE2b of 128 bits (RFC 7693)."""
        return _signature(self._signers[0], content)

    def verify(self, content: bytes, signature: bytes) -> bool:
        """Returns whether a key of this ring signed this content."""
        for signer in self._signers:  # noqa: SIM110  # a generator would take as long as the signature
            if hmac.compare_digest(_signature(signer, content), signature):
                return True
        return False

    def proof(self) -> str:
        """Returns a text by which a later ring can check that its key of the same id is the same key."""
        return self._seal(_PROVEN, 0, "proof")

    def proves(self, proof: str) -> bool:
        """Returns whether this ring's key of that id made the proof."""
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
            raise CannotUnseal("a stored secret has an unknown form")
        key_id, text = found.groups()
        key = self._keys.get(key_id)
        if key is None:
            raise CannotUnseal(f'a secret is sealed with the key "{key_id}", which is not in DULY_SECRET_KEYS')
        try:
            blob = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return key.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], _bound_to(tenant_id, purpose)).decode()
        except (NotBase64, InvalidTag):
            raise CannotUnseal(
                f'a secret cannot be decrypted with the key "{key_id}": it was changed, or belongs to another row'
            ) from None


def _signature(signer: blake2b, content: bytes) -> bytes:
    keyed = signer.copy()
    keyed.update(content)
    return keyed.digest()


def _bound_to(tenant_id: int, purpose: Purpose) -> bytes:
    return f"duly:{purpose}:{tenant_id}".encode()


def key_id_of(text: str) -> str | None:
    """Returns the id of the key that sealed a text; None if it is not sealed."""
    found = _SEALED.fullmatch(text)
    return found[1] if found else None


def new_key(key_id: str | None = None) -> str:
    """Returns a new random key in the form of the settings; without an id, that is random too.

    Raises:
        InvalidKeys: the id is invalid.
    """
    chosen = secrets.token_hex(4) if key_id is None else key_id
    if not _KEY_ID.fullmatch(chosen):
        raise InvalidKeys("a key ID must have 1 to 32 letters, digits, dots, dashes or underscores")
    return f"{chosen}:{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def parse_keys(text: str) -> dict[str, bytes]:
    """Returns the keys by id, in their order.

    Raises:
        InvalidKeys: an entry is malformed.
    """
    keys: dict[str, bytes] = {}
    for place, entry in enumerate(text.split(","), 1):
        key_id, colon, spelled = (part.strip() for part in entry.partition(":"))
        # An invalid id may be a key in the wrong place, so it is not repeated.
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise InvalidKeys(
                f"entry {place} must be `id:key` with an id of 1 to 32 letters, digits, dots, dashes or underscores; "
                "`duly secrets new-key` makes one"
            )
        if key_id in keys:
            raise InvalidKeys(f'the key ID "{key_id}" occurs twice')
        keys[key_id] = _key(key_id, spelled)
    return keys


def _key(key_id: str, spelled: str) -> bytes:
    try:
        key = b64decode(spelled, validate=True)
    except ValueError:
        raise InvalidKeys(f'the key with the id "{key_id}" is not base64') from None
    if len(key) != KEY_BYTES:
        raise InvalidKeys(f'the key with the id "{key_id}" must have {KEY_BYTES} bytes, not {len(key)}')
    return key
