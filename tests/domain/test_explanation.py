"""Sentences that explain a job's state."""

from datetime import UTC, datetime

import pytest

from duly.domain.events import Status
from duly.domain.explanation import explain
from duly.domain.explanation_facts import ExplanationFacts


@pytest.mark.parametrize(
    ("before", "wait"), [(1, "1 job waits for it ahead"), (2, "2 jobs wait for it ahead"), (1_500, "1,500 jobs wait")]
)
def test_jobs_ahead_that_wait_for_the_same_key_are_counted(before: int, wait: str) -> None:
    facts = ExplanationFacts(
        Status.PENDING,
        type="echo",
        queue="default",
        attempt=0,
        max_attempts=5,
        waiting_for="concurrency",
        now=datetime.now(UTC),
        key="customer-42",
        before_in_key=before,
    )
    assert f", and {wait}" in explain(facts).message
