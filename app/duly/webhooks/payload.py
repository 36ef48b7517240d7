"""Body and headers of a webhook, from its event or message."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from duly.domain.event_views import webhook_body
from duly.domain.events import Event, EventKind
from duly.domain.ids import event_id_text
from duly.store.webhooks.take_deliveries import DueDelivery
from duly.webhooks.signature import hex_signature, signature_header


class Signing(NamedTuple):
    """Parts of one attempt that are the sender's: its time (unix seconds), the secrets and private keys that sign it,
    in order, and additional headers.
    """

    timestamp: int
    secrets: Sequence[str]
    private_keys: Sequence[str] = ()
    headers: Mapping[str, str] = {}


def body_of(delivery: DueDelivery) -> bytes:
    """Returns the body, identical on every attempt: it is made of rows that never change."""
    if delivery.message is not None:
        return delivery.message.encode()
    if delivery.occurred_at is None:
        raise LookupError("the event of the webhook is missing")
    event = Event(
        tenant_id=delivery.tenant_id,
        job_id=delivery.job_id,
        sequence=delivery.sequence,
        kind=EventKind(delivery.kind),
        attempt=delivery.job_attempt or 0,
        occurred_at=delivery.occurred_at,
        source="",
        data=delivery.data,
    )
    return webhook_body(
        event, job_type=delivery.job_type, labels=delivery.labels, correlation_id=delivery.correlation_id
    )


def headers_of(delivery: DueDelivery, body: bytes, signing: Signing, *, user_agent: str) -> Mapping[str, str]:
    """Returns the headers of one attempt: Standard Webhooks, and the hexadecimal form with the newest secret."""
    message_id = event_id_text(delivery.job_id, delivery.sequence)
    headers = {
        **signing.headers,
        "content-type": "application/json",
        "user-agent": user_agent,
        "webhook-id": message_id,
        "webhook-timestamp": str(signing.timestamp),
        "webhook-signature": signature_header(
            signing.secrets, signing.private_keys, message_id=message_id, timestamp=signing.timestamp, body=body
        ),
        "x-webhook-signature": hex_signature(signing.secrets[0], body),
    }
    if delivery.correlation_id is not None:
        headers["x-correlation-id"] = delivery.correlation_id
    if delivery.traceparent:
        headers["traceparent"] = delivery.traceparent
    return headers
