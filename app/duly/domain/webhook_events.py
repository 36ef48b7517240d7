"""Events that webhooks report: their names, their stored bits, and the bodies of those that concern no single job."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from typing import Final, NamedTuple
from uuid import UUID

import orjson

from duly.domain.timestamps import rfc3339

# Events of a job. The bits are stored in `callback_events` of a job and its hot rows, and in `events` of an endpoint;
# each statement that records an event writes a delivery for each receiver whose bit is set.
CALLBACK_BITS: Final[dict[str, int]] = {
    "job.started": 1,
    "job.progress": 2,
    "job.retrying": 4,
    "job.completed": 8,
    "job.failed": 16,
    "job.cancelled": 32,
}
DEFAULT_CALLBACK_EVENTS: Final = ("job.completed", "job.failed", "job.cancelled")
# Endpoints can also subscribe to batches. Tests, and the disabling of another endpoint, are sent to all of them.
BATCH_BIT: Final = 64
ENDPOINT_BITS: Final[dict[str, int]] = CALLBACK_BITS | {"batch.completed": BATCH_BIT}


class MessageKind(IntEnum):
    """Kind of a webhook that reports no event of a job. Stored numbers, beside those of `EventKind`."""

    TEST = 20
    BATCH_COMPLETED = 21
    ENDPOINT_DISABLED = 22


# Smaller kinds are those of events.
FIRST_MESSAGE: Final = MessageKind.TEST
MESSAGE_EVENTS: Final[dict[MessageKind, str]] = {
    MessageKind.TEST: "webhook.test",
    MessageKind.BATCH_COMPLETED: "batch.completed",
    MessageKind.ENDPOINT_DISABLED: "endpoint.disabled",
}


def callback_mask(events: Iterable[str]) -> int:
    """Returns the bits of these event names; raises KeyError for an unknown one."""
    mask = 0
    for event in events:
        mask |= CALLBACK_BITS[event]
    return mask


class BatchCounts(NamedTuple):
    """Numbers of the jobs of a batch that has ended: all, and by their status."""

    total: int
    completed: int
    failed: int
    cancelled: int

    @property
    def status(self) -> str:
        """Returns the status of the batch as a whole."""
        return "failed" if self.failed else "cancelled" if self.cancelled else "completed"


def batch_completed_body(batch_id: UUID, name: str | None, counts: BatchCounts, *, at: datetime) -> str:
    """Returns the body of the webhook that reports the end of a batch's last job."""
    members = {
        "batchId": str(batch_id),
        "name": name,
        "status": counts.status,
        **counts._asdict(),
        "completedAt": rfc3339(at),
    }
    return _body(MessageKind.BATCH_COMPLETED, members, at)


def endpoint_disabled_body(endpoint_id: UUID, reason: str, *, at: datetime) -> str:
    """Returns the body of the webhook that reports a disabled endpoint to the tenant's other endpoints."""
    return _body(MessageKind.ENDPOINT_DISABLED, {"webhookId": str(endpoint_id), "reason": reason}, at)


def endpoint_test_body(endpoint_id: UUID, *, at: datetime) -> str:
    """Returns the body of a test webhook."""
    return _body(MessageKind.TEST, {"webhookId": str(endpoint_id)}, at)


def _body(kind: MessageKind, members: Mapping[str, object], at: datetime) -> str:
    return orjson.dumps({"type": MESSAGE_EVENTS[kind], "timestamp": rfc3339(at), **members}).decode()
