"""Ed25519 key pairs that sign webhooks: receivers need no secret, and the public key may be published.

Their text form is that of standardwebhooks.com: `whsk_` and the base64 of seed and public key (or of the seed alone),
`whpk_` and the base64 of the public key. The public key is also available as a JWK (RFC 8037).
"""

import hashlib
import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from duly.domain.webhook_secret import base64_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
_SEED_BYTES: Final = 32
_PUBLIC_BYTES: Final = 32
# RFC 8037 calls the algorithm EdDSA, RFC 9864 Ed25519.
_ALGORITHMS: Final = ("EdDSA", "Ed25519")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Key pair: `private` (`whsk_`) signs and is secret, `public` (`whpk_`) verifies."""

    private: str = field(repr=False)
    public: str


def make_key_pair() -> KeyPair:
    """Makes a pair from the system's randomness."""
    key = _private_class().generate()
    public = key.public_key().public_bytes_raw()
    return KeyPair(_text(PRIVATE_PREFIX, key.private_bytes_raw() + public), _text(PUBLIC_PREFIX, public))


def sign(private: str, content: bytes) -> bytes:
    """Returns the signature of `content`, 64 bytes.

    Raises:
        ValueError: not a private key.
    """
    return _private_key(private).sign(content)


def is_signed(public: str, content: bytes, signature: bytes) -> bool:
    """Returns whether the private key of this public key signed `content`.

    Raises:
        ValueError: not a public key.
    """
    key = _public_key(public)
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # installed, or there would be no key

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def check_public_key(public: str) -> None:
    """Checks the form of a public key.

    Raises:
        ValueError: not a public key.
    """
    _public_key(public)


def public_key_of(private: str) -> str:
    """Returns the public key, as `whpk_` text.

    Raises:
        ValueError: not a private key.
    """
    return _text(PUBLIC_PREFIX, _private_key(private).public_key().public_bytes_raw())


def key_id(public: str) -> str:
    """Returns the id of a public key: its thumbprint by RFC 7638.

    Raises:
        ValueError: not a public key.
    """
    # The required members alone, by name, without a space (RFC 7638, section 3).
    required = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(_public_bytes(public))}
    return _base64url(hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest())


def to_jwk(public: str) -> dict[str, str]:
    """Returns the public key as a member of a JWKS's `keys`.

    Raises:
        ValueError: not a public key.
    """
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": "EdDSA",
        "kid": key_id(public),
        "x": _base64url(_public_bytes(public)),
    }


def public_keys_of_jwks(jwks: Mapping[str, Any]) -> list[str]:
    """Returns the public keys of a JWKS as `whpk_` texts; keys of other kinds are ignored, as RFC 7517 requires."""
    keys = jwks.get("keys")
    return list(_usable(keys)) if isinstance(keys, list) else []


def _usable(keys: list[Any]) -> Iterator[str]:
    for key in keys:
        try:
            if _signs_webhooks(key):
                public = _text(PUBLIC_PREFIX, urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4)))
                check_public_key(public)
                yield public
        except ValueError:
            continue


def _signs_webhooks(key: Any) -> bool:
    return (
        isinstance(key, Mapping)
        and (key.get("kty"), key.get("crv"), key.get("use", "sig")) == ("OKP", "Ed25519", "sig")
        and key.get("alg", "EdDSA") in _ALGORITHMS
        and isinstance(key.get("x"), str)
    )


@lru_cache(maxsize=1024)  # many webhooks share few receivers
def _private_key(private: str) -> "Ed25519PrivateKey":
    raw = _key_bytes(private, PRIVATE_PREFIX, f"A private key is {PRIVATE_PREFIX} and the base64 of 32 or 64 bytes.")
    if len(raw) not in {_SEED_BYTES, _SEED_BYTES + _PUBLIC_BYTES}:
        raise ValueError(f"A private key is {PRIVATE_PREFIX} and the base64 of 32 or 64 bytes.")
    key = _private_class().from_private_bytes(raw[:_SEED_BYTES])
    # Otherwise the published key would not match the signatures.
    if raw[_SEED_BYTES:] not in {b"", key.public_key().public_bytes_raw()}:
        raise ValueError("The public half of the private key does not match its seed.")
    return key


@lru_cache(maxsize=1024)
def _public_key(public: str) -> "Ed25519PublicKey":
    raw = _public_bytes(public)
    with _needs_cryptography():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    return Ed25519PublicKey.from_public_bytes(raw)


def _private_class() -> "type[Ed25519PrivateKey]":
    with _needs_cryptography():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    return Ed25519PrivateKey


@contextmanager
def _needs_cryptography() -> Iterator[None]:
    """Names the remedy where the package is not installed: it has no wheels for some platforms of clients."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = 'Ed25519 keys need the package cryptography; run: pip install "duly[ed25519]"'
        raise ModuleNotFoundError(message, name=error.name) from error


def _public_bytes(public: str) -> bytes:
    message = f"A public key is {PUBLIC_PREFIX} and the base64 of 32 bytes."
    raw = _key_bytes(public, PUBLIC_PREFIX, message)
    if len(raw) != _PUBLIC_BYTES:
        raise ValueError(message)
    return raw


def _key_bytes(text: str, prefix: str, message: str) -> bytes:
    if not text.startswith(prefix):
        raise ValueError(message)
    try:
        return base64_bytes(text.removeprefix(prefix))
    except ValueError:
        raise ValueError(message) from None


def _text(prefix: str, raw: bytes) -> str:
    return prefix + b64encode(raw).decode()


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
