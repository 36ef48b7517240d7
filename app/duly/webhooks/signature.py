"""Signatures of webhooks: made by the dispatcher, verified by receivers.

Standard Webhooks (standardwebhooks.com) has two: `v1`, an HMAC with a shared secret, and `v1a`, made with a private key
(Ed25519) and verified with the public one. Both sign "id.timestamp.body".
"""

import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TypeAlias, runtime_checkable

from duly.domain.webhook_key_pair import check_public_key, is_signed, sign
from duly.domain.webhook_secret import secret_key

TOLERANCE_SECONDS: Final = 300.0
# More than any rotation needs. Each one costs the receiver a computation, and anyone can send them.
_MOST_SIGNATURES: Final = 20


class SignatureError(Exception):
    """Webhook that must not be trusted. The message has the reason and no secret."""


@runtime_checkable
class HasItems(Protocol):
    """Headers by name, as in a `dict` and in web frameworks."""

    def items(self) -> Iterable[tuple[str, str]]: ...


Headers: TypeAlias = HasItems | Iterable[tuple[str, str]]


def signature_header(
    symmetric: Sequence[str], asymmetric: Sequence[str], *, message_id: str, timestamp: int, body: bytes
) -> str:
    """Returns the value of `webhook-signature`: `v1` with each secret in order, then `v1a` with each private key.
    `timestamp` is the unix time of this attempt in seconds.

    Raises:
        ValueError: a secret or a key is invalid, or there is none.
    """
    if not (symmetric or asymmetric):
        raise ValueError("A webhook needs a secret or a private key to be signed with.")
    content = _signed_content(message_id, timestamp, body)
    signatures = [f"v1,{b64encode(_hmac(secret, content)).decode()}" for secret in symmetric]
    if asymmetric:
        signatures += [f"v1a,{b64encode(sign(private, content)).decode()}" for private in asymmetric]
    return " ".join(signatures)


def standard_signature(secrets: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Returns `signature_header` for secrets only."""
    return signature_header(secrets, (), message_id=message_id, timestamp=timestamp, body=body)


def hex_signature(secret: str, body: bytes) -> str:
    """Returns the value of `X-Webhook-Signature`: `sha256=` and the hexadecimal HMAC of the body."""
    return f"sha256={_hmac(secret, body).hex()}"


def _hmac(secret: str, content: bytes) -> bytes:
    """Returns the HMAC with SHA-256. OpenSSL 3 looks up its algorithms in each call of `hmac.digest`; the copy of an
    HMAC of this key does not.
    """
    signing = _keyed(secret).copy()
    signing.update(content)
    return signing.digest()


@lru_cache(maxsize=1024)  # many webhooks share few receivers
def _keyed(secret: str) -> hmac.HMAC:
    """Returns an HMAC of the key, to be continued in copies."""
    return hmac.new(secret_key(secret), digestmod="sha256")


@dataclass(frozen=True, slots=True)
class SignedHeaders:
    """Values of the three `webhook-` headers, not to be trusted before a signature matches."""

    message_id: str
    timestamp: int
    signatures: tuple[str, ...]

    def match_secret(self, secret: str, body: bytes) -> bool:
        """Returns whether a `v1` signature matches this body and secret.

        Raises:
            ValueError: the secret is invalid.
        """
        expected = signature_header(
            [secret], (), message_id=self.message_id, timestamp=self.timestamp, body=body
        ).encode()
        return any(hmac.compare_digest(expected, text.encode(errors="replace")) for text in self.signatures)

    def match_public_key(self, public: str, body: bytes) -> bool:
        """Returns whether a `v1a` signature matches this body and public key.

        Raises:
            ValueError: the public key is invalid.
        """
        check_public_key(public)  # also without a signature to verify
        content = _signed_content(self.message_id, self.timestamp, body)
        return any(is_signed(public, content, signature) for signature in self._asymmetric())

    def _asymmetric(self) -> Iterable[bytes]:
        for text in self.signatures:
            version, _, signature = text.partition(",")
            if version == "v1a":
                try:
                    yield b64decode(signature, validate=True)
                except ValueError:
                    continue


def read_signed_headers(headers: Headers, *, tolerance_seconds: float, now: float | None) -> SignedHeaders:
    """Returns the three `webhook-` headers, of any case, if their time is near `now` (unix seconds;
    None: the clock's).

    Raises:
        SignatureError: a header is missing, duplicate or malformed, or the time is too far off.
    """
    found = _webhook_headers(headers)
    message_id = _required(found, "webhook-id")
    timestamp = _timestamp(_required(found, "webhook-timestamp"))
    signatures = _required(found, "webhook-signature").split()
    if len(signatures) > _MOST_SIGNATURES:
        raise SignatureError(f"webhook-signature has more than {_MOST_SIGNATURES} signatures.")
    here = time.time() if now is None else now  # noqa: TID251  # the receiver's clock
    if abs(here - timestamp) > tolerance_seconds:
        raise SignatureError(f"webhook-timestamp is more than {tolerance_seconds:g} seconds from now.")
    return SignedHeaders(message_id, timestamp, tuple(signatures))


def verify_standard(
    secret: str,
    headers: Headers,
    body: bytes,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> None:
    """Verifies that the three `webhook-` headers (of any case) sign this body, as received, with this
    secret.

    One match among several signatures is sufficient, so secrets can be rotated. `now` is in unix seconds, by default
    the clock's.

    Raises:
        SignatureError: no signature matches, or the time is too far off.
        ValueError: the secret is invalid.
    """
    if not read_signed_headers(headers, tolerance_seconds=tolerance_seconds, now=now).match_secret(secret, body):
        raise SignatureError("No signature in webhook-signature matches the body and the secret.")


def verify_hex(secret: str, header: str, body: bytes) -> None:
    """Verifies that the value of `X-Webhook-Signature` signs this body with this secret. It has no time, so a recorded
    request stays valid forever; prefer `verify_standard`.

    Raises:
        SignatureError: it does not match.
    """
    if not hmac.compare_digest(hex_signature(secret, body).encode(), header.strip().encode(errors="replace")):
        raise SignatureError("X-Webhook-Signature does not match the body and the secret.")


def _signed_content(message_id: str, timestamp: int, body: bytes) -> bytes:
    # Frameworks may pass undecodable bytes as lone surrogates, which must not raise here.
    return f"{message_id}.{timestamp}.".encode(errors="backslashreplace") + body


def _webhook_headers(headers: Headers) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for spelt, value in headers.items() if isinstance(headers, HasItems) else headers:
        name = spelt.lower()
        if name.startswith("webhook-"):
            # Of two, other code might use the one that is not verified.
            if name in found:
                raise SignatureError(f"The header {name} occurs twice.")
            found[name] = value
    return found


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "").strip()
    if not value:
        raise SignatureError(f"The header {name} is missing.")
    return value


def _timestamp(text: str) -> int:
    # At most twelve digits: int() takes signs, spaces and underscores, and time to read thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 12):  # noqa: PLR2004 - said above
        raise SignatureError("webhook-timestamp is not a number of unix seconds.")
    return int(text)
