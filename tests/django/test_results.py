"""Errors whose line may still be on its way into the job's log: recent ones, of an exception, without a line."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from duly.django.results import JobRecord, lacks_recent_line
from tests.support.django_project import configure

configure()


def failure(*, age_seconds: float = 0, exception: str | None = "ValueError") -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    details = None if exception is None else {"exception": exception}
    return {"occurredAt": at.isoformat(), "data": {"attempt": 2, "error": {"details": details}}}


@pytest.mark.parametrize(
    ("event", "logged", "lacks"),
    [
        (failure, [1], True),
        (failure, [1, 2], False),
        (partial(failure, age_seconds=60), [1], False),
        (partial(failure, exception=None), [1], False),
        (lambda: {"occurredAt": "2026-01-01T00:00:00Z", "data": {}}, [], False),
    ],
    ids=["lacks its line", "is logged", "is old", "without exception", "of no error"],
)
def test_a_line_is_awaited_after_a_recent_exception_only(
    event: Callable[[], Any], logged: list[int], lacks: bool
) -> None:
    lines: list[Any] = [{"attempt": attempt} for attempt in logged]
    job: Any = {}
    assert lacks_recent_line(JobRecord(job, [event()], lines)) is lacks
