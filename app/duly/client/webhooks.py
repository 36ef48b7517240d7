"""What a receiver of webhooks does first: verify, then read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from duly.domain.signing_key import PUBLIC_PREFIX, public_keys_of_jwks
from duly.webhooks.signature import TOLERANCE_SECONDS, Headers, SignatureError, read_signed_headers

Keys: TypeAlias = str | Sequence[str] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A webhook that was signed with a key of yours.

    `id` is the same on every retry: remember it for as long as you keep what it made you do, and pass over what you
    have seen. `type` is `job.completed` and the like, `sent_at` the time of this try, `body` all that was told.
    """

    id: str
    type: str
    sent_at: datetime
    body: dict[str, Any]


def verify_webhook(
    headers: Headers,
    body: bytes | bytearray | memoryview,
    keys: Keys,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> WebhookEvent:
    """The event of a webhook whose signature is good, and nothing else.

    A signature within `tolerance_seconds` of `now` is good for as long, also to whoever has recorded it: only
    remembering `WebhookEvent.id` tells a repetition.

    Args:
        headers: the request's, of any case, as a mapping or as pairs.
        body: the bytes as they were received.
        keys: a secret (`whsec_` or plain text) or a public key (`whpk_`), several of them while they are rotated, or a
            JWKS as the service shows it. One that fits is enough. With secrets only `v1` counts, with public keys only
            `v1a`.
        tolerance_seconds: how far the sender's clock may be from `now`.
        now: unix seconds; by default the clock's.

    Raises:
        SignatureError: the webhook must not be trusted. Its text says why and holds no secret.
        ValueError: a key is malformed, or there is none: the receiver's own mistake, not the sender's.
        TypeError: the body is no bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError("The body must be the bytes as they were received: decoded or parsed, it is another text.")
    raw = bytes(body)
    secrets, public_keys = _sorted(keys)
    signed = read_signed_headers(headers, tolerance_seconds=tolerance_seconds, now=now)
    # Lists, not generators: a malformed key is told of whether or not one before it fits.
    matches = [signed.match_secret(secret, raw) for secret in secrets]
    matches += [signed.match_public_key(public, raw) for public in public_keys]
    if not any(matches):
        raise SignatureError("No signature in webhook-signature matches the body and the keys.")
    told = _read(raw)
    return WebhookEvent(
        id=signed.message_id,
        type=str(told.get("type", "")),
        sent_at=datetime.fromtimestamp(signed.timestamp, UTC),
        body=told,
    )


def _sorted(keys: Keys) -> tuple[list[str], list[str]]:
    """Secrets, and public keys."""
    if isinstance(keys, Mapping):
        secrets, public_keys = [], public_keys_of_jwks(keys)
    else:
        texts = [keys] if isinstance(keys, str) else list(keys)
        secrets = [text for text in texts if not text.startswith(PUBLIC_PREFIX)]
        public_keys = [text for text in texts if text.startswith(PUBLIC_PREFIX)]
    if not (secrets or public_keys):
        raise ValueError("There is no key to verify a webhook with.")
    return secrets, public_keys


def _read(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise SignatureError("The webhook is signed, but its body is not a JSON object.")
    return told
