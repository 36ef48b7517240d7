"""Verification of webhooks by a receiver."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from duly.domain.webhook_key_pair import PUBLIC_PREFIX, public_keys_of_jwks
from duly.webhooks.signature import TOLERANCE_SECONDS, Headers, SignatureError, read_signed_headers

Keys: TypeAlias = str | Sequence[str] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Webhook with a valid signature.

    Attributes:
        id: ID of the webhook, the same on every retry. Store it with the effects of the webhook, and skip known IDs.
        type: event type, such as `job.completed`.
        sent_at: time of this delivery attempt.
        body: parsed body.
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
    """Returns the event of a webhook with a valid signature.

    Within `tolerance_seconds` a recorded webhook can be replayed by a third party: skip known `WebhookEvent.id`s.

    Args:
        headers: headers of the request in any case, as a mapping or as pairs.
        body: body as received, in bytes.
        keys: a secret (`whsec_` or plain text) or a public key (`whpk_`), several during a rotation, or a JWKS as the
            service returns it. One matching key is sufficient. Secrets verify `v1`, public keys `v1a` signatures.
        tolerance_seconds: maximum difference between the timestamp of the webhook and `now`.
        now: Unix time in seconds; defaults to the current time.

    Raises:
        SignatureError: the webhook must not be trusted. The message gives the reason and contains no secret.
        ValueError: a key is malformed or missing, which is a mistake of the receiver.
        TypeError: the body is not bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError("body must be the bytes as received, not decoded or parsed")
    raw = bytes(body)
    secrets, public_keys = _sorted(keys)
    signed = read_signed_headers(headers, tolerance_seconds=tolerance_seconds, now=now)
    # Lists, not generators: a malformed key is reported even if an earlier key matches.
    matches = [signed.match_secret(secret, raw) for secret in secrets]
    matches += [signed.match_public_key(public, raw) for public in public_keys]
    if not any(matches):
        raise SignatureError("No signature in webhook-signature matches the body and the keys.")
    content = _read(raw)
    return WebhookEvent(
        id=signed.message_id,
        type=str(content.get("type", "")),
        sent_at=datetime.fromtimestamp(signed.timestamp, UTC),
        body=content,
    )


def _sorted(keys: Keys) -> tuple[list[str], list[str]]:
    """Returns the secrets and the public keys."""
    if isinstance(keys, Mapping):
        secrets, public_keys = [], public_keys_of_jwks(keys)
    else:
        texts = [keys] if isinstance(keys, str) else list(keys)
        secrets = [text for text in texts if not text.startswith(PUBLIC_PREFIX)]
        public_keys = [text for text in texts if text.startswith(PUBLIC_PREFIX)]
    if not (secrets or public_keys):
        raise ValueError("no key to verify the webhook with")
    return secrets, public_keys


def _read(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise SignatureError("The webhook is signed, but its body is not a JSON object.")
    return content
