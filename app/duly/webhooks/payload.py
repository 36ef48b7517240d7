"""What a webhook says: its body and its headers, made from the event it tells of."""

from collections.abc import Mapping

import orjson
from orjson import Fragment

from duly.domain.events import CALLBACK_EVENT_OF, EventKind, Status
from duly.domain.ids import event_id
from duly.domain.json_value import rfc3339
from duly.store.deliveries import DueDelivery
from duly.store.views import read_progress
from duly.webhooks.signature import hex_signature, standard_signature

_STATUS = {
    EventKind.STARTED: Status.RUNNING,
    EventKind.PROGRESSED: Status.RUNNING,
    EventKind.RETRY_SCHEDULED: Status.PENDING,
    EventKind.LEASE_EXPIRED: Status.PENDING,
    EventKind.COMPLETED: Status.COMPLETED,
    EventKind.FAILED: Status.FAILED,
    EventKind.CANCELLED: Status.CANCELLED,
}


def body_of(delivery: DueDelivery) -> bytes:
    """The body, the same to the byte on every try: it is made of rows that never change."""
    moment = rfc3339(delivery.occurred_at)
    members: dict[str, object] = {
        "type": CALLBACK_EVENT_OF[delivery.kind],
        "timestamp": moment,
        "jobId": str(delivery.job_id),
        "status": _STATUS[delivery.kind],
    }
    if delivery.kind is EventKind.PROGRESSED:
        members["progress"], members["message"] = read_progress(delivery.data or "{}")
    if delivery.kind.terminal:
        members["completedAt"] = moment
    members |= {
        "sequence": delivery.sequence,
        "jobType": delivery.job_type,
        "attempt": delivery.job_attempt,
        "labels": Fragment(delivery.labels or "{}"),
        "correlationId": delivery.correlation_id,
    }
    if delivery.data is not None and delivery.kind is not EventKind.PROGRESSED:
        # The text as it is stored: nothing is parsed and written again.
        member = "result" if delivery.kind is EventKind.COMPLETED else "error"
        members[member] = Fragment(delivery.data)
    return orjson.dumps(members)


def headers_of(
    delivery: DueDelivery, body: bytes, *, timestamp: int, user_agent: str, secret: str
) -> Mapping[str, str]:
    """The headers of one try: Standard Webhooks and the plain hex form, both signed with the job's secret."""
    message_id = str(event_id(delivery.job_id, delivery.sequence))
    headers = {
        "content-type": "application/json",
        "user-agent": user_agent,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_signature([secret], message_id=message_id, timestamp=timestamp, body=body),
        "x-webhook-signature": hex_signature(secret, body),
        "x-correlation-id": delivery.correlation_id,
    }
    if delivery.traceparent:
        headers["traceparent"] = delivery.traceparent
    return headers
