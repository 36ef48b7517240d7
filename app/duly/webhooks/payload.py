"""What a webhook says: its body and its headers, made from the event or the message it tells of."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from orjson import Fragment

from duly.domain.events import CALLBACK_EVENT_OF, EventKind, Status, read_progress
from duly.domain.ids import event_id
from duly.domain.json_value import rfc3339
from duly.store.webhooks.deliveries import DueDelivery
from duly.webhooks.signature import hex_signature, signature_header

_STATUS = {
    EventKind.STARTED: Status.RUNNING,
    EventKind.PROGRESSED: Status.RUNNING,
    EventKind.RETRY_SCHEDULED: Status.PENDING,
    EventKind.LEASE_EXPIRED: Status.PENDING,
    EventKind.COMPLETED: Status.COMPLETED,
    EventKind.FAILED: Status.FAILED,
    EventKind.CANCELLED: Status.CANCELLED,
}


class Signing(NamedTuple):
    """What makes one try the sender's own: when it is (unix seconds), the secrets and the private keys that sign it, in
    their order, and the headers that the receiver wants beside ours.
    """

    timestamp: int
    secrets: Sequence[str]
    private_keys: Sequence[str] = ()
    headers: Mapping[str, str] = {}


def body_of(delivery: DueDelivery) -> bytes:
    """The body, the same to the byte on every try: it is made of rows that never change."""
    if delivery.message is not None:
        return delivery.message.encode()
    if delivery.occurred_at is None:
        raise LookupError("the event that a webhook tells of is missing")
    return _body_of_event(delivery, EventKind(delivery.kind), rfc3339(delivery.occurred_at))


def _body_of_event(delivery: DueDelivery, kind: EventKind, moment: str) -> bytes:
    members: dict[str, object] = {
        "type": CALLBACK_EVENT_OF[kind],
        "timestamp": moment,
        "jobId": str(delivery.job_id),
        "status": _STATUS[kind],
    }
    if kind is EventKind.PROGRESSED:
        members["progress"], members["message"] = read_progress(delivery.data or "{}")
    if kind.terminal:
        members["completedAt"] = moment
    members |= {
        "sequence": delivery.sequence,
        "jobType": delivery.job_type,
        "attempt": delivery.job_attempt,
        "labels": Fragment(delivery.labels or "{}"),
        "correlationId": delivery.correlation_id,
    }
    if delivery.data is not None and kind is not EventKind.PROGRESSED:
        # The text as it is stored: nothing is parsed and written again.
        member = "result" if kind is EventKind.COMPLETED else "error"
        members[member] = Fragment(delivery.data)
    return orjson.dumps(members)


def headers_of(delivery: DueDelivery, body: bytes, signing: Signing, *, user_agent: str) -> Mapping[str, str]:
    """The headers of one try: Standard Webhooks, and the plain hex form with the newest secret."""
    message_id = str(event_id(delivery.job_id, delivery.sequence))
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


def endpoint_disabled(endpoint_id: UUID, reason: str, *, at: datetime) -> str:
    """The body that tells the tenant's other endpoints of one that is sent nothing more."""
    return _message("endpoint.disabled", {"webhookId": str(endpoint_id), "reason": reason}, at)


def endpoint_test(endpoint_id: UUID, *, at: datetime) -> str:
    """The body of `webhook.test`."""
    return _message("webhook.test", {"webhookId": str(endpoint_id)}, at)


def _message(event: str, members: Mapping[str, object], at: datetime) -> str:
    return orjson.dumps({"type": event, "timestamp": rfc3339(at), **members}).decode()
