"""Names, bits and bodies of webhooks that report no event of a job."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from duly.domain.webhook_events import (
    CALLBACK_BITS,
    DEFAULT_CALLBACK_EVENTS,
    ENDPOINT_BITS,
    MESSAGE_EVENTS,
    BatchCounts,
    MessageKind,
    batch_completed_body,
    callback_mask,
    endpoint_disabled_body,
    endpoint_test_body,
)

AT = datetime(2026, 1, 27, 10, 5, 0, 123_456, tzinfo=UTC)


def test_bits_are_stored_and_do_not_change() -> None:
    assert list(ENDPOINT_BITS.values()) == [1, 2, 4, 8, 16, 32, 64]
    assert callback_mask(DEFAULT_CALLBACK_EVENTS) == 8 | 16 | 32
    assert callback_mask(CALLBACK_BITS) == 63
    assert callback_mask([]) == 0
    with pytest.raises(KeyError):
        callback_mask(["job.exploded"])


def test_every_message_has_a_name() -> None:
    assert set(MESSAGE_EVENTS) == set(MessageKind)


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        (BatchCounts(3, 3, 0, 0), "completed"),
        (BatchCounts(3, 2, 0, 1), "cancelled"),
        (BatchCounts(3, 1, 1, 1), "failed"),
    ],
)
def test_the_body_of_a_finished_batch_counts_its_jobs(counts: BatchCounts, status: str) -> None:
    body = batch_completed_body(UUID(int=7), "grün", counts, at=AT)
    assert body.startswith('{"type":"batch.completed","timestamp":"2026-01-27T10:05:00.123Z","batchId":"')
    assert json.loads(body) == {
        "type": "batch.completed",
        "timestamp": "2026-01-27T10:05:00.123Z",
        "batchId": str(UUID(int=7)),
        "name": "grün",
        "status": status,
        **counts._asdict(),
        "completedAt": "2026-01-27T10:05:00.123Z",
    }


def test_the_bodies_about_an_endpoint_name_it() -> None:
    start = '"timestamp":"2026-01-27T10:05:00.123Z","webhookId":"00000000-0000-0000-0000-000000000007"'
    assert endpoint_test_body(UUID(int=7), at=AT) == f'{{"type":"webhook.test",{start}}}'
    assert endpoint_disabled_body(UUID(int=7), "x", at=AT) == f'{{"type":"endpoint.disabled",{start},"reason":"x"}}'
