"""Signatures of webhooks: made by the dispatcher, verified by receivers. Pure."""

import hmac
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Final

from duly.domain.secret import secret_key

# By its name: the whole of an HMAC is then one call into OpenSSL.
_SHA256: Final = "sha256"


class SignatureError(Exception):
    """A webhook that must not be trusted; its text says why and holds no secret."""


def standard_signature(secrets: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`, one `v1` a secret in their order (standardwebhooks.com, symmetric form).

    `timestamp` is unix seconds of this attempt. Raises `ValueError` for a secret that `secret_key` refuses.
    """
    # A receiver's framework may hand on bytes it could not decode as lone surrogates; they must not raise here.
    signed = f"{message_id}.{timestamp}.".encode(errors="backslashreplace") + body
    return " ".join(f"v1,{b64encode(hmac.digest(secret_key(secret), signed, _SHA256)).decode()}" for secret in secrets)


def hex_signature(secret: str, body: bytes) -> str:
    """The value of `X-Webhook-Signature`: `sha256=` and the hexadecimal HMAC of the body alone."""
    return f"sha256={hmac.digest(secret_key(secret), body, _SHA256).hex()}"


def verify_standard(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_seconds: float = 300,
    now: float | None = None,
) -> None:
    """Return where the three `webhook-` headers (of any case) sign this body, as received, with this secret.

    One match among several signatures is enough, so a secret can be rotated. `now` is unix seconds, by default the
    clock's. Raises `SignatureError` else, and `ValueError` for a secret that `secret_key` refuses.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id = _required(found, "webhook-id")
    timestamp = _timestamp(_required(found, "webhook-timestamp"))
    signatures = _required(found, "webhook-signature").split()
    if abs((time.time() if now is None else now) - timestamp) > tolerance_seconds:
        raise SignatureError(f"webhook-timestamp is more than {tolerance_seconds:g} seconds from now.")
    expected = standard_signature([secret], message_id=message_id, timestamp=timestamp, body=body).encode()
    if not any(hmac.compare_digest(expected, signature.encode(errors="replace")) for signature in signatures):
        raise SignatureError("No signature in webhook-signature matches the body and the secret.")


def verify_hex(secret: str, header: str, body: bytes) -> None:
    """Return where the value of `X-Webhook-Signature` signs this body with this secret.

    It carries no time, so a recorded request verifies for ever; prefer `verify_standard`. Raises `SignatureError` else.
    """
    if not hmac.compare_digest(hex_signature(secret, body).encode(), header.strip().encode(errors="replace")):
        raise SignatureError("X-Webhook-Signature does not match the body and the secret.")


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
