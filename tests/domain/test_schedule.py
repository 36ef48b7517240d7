"""Due times of a schedule that are run, and submissions made from its template."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from duly.domain.cron import read_cron
from duly.domain.ids import new_job_id
from duly.domain.job import Debounce, Flow, NewJob
from duly.domain.job_template import read_template, template
from duly.domain.schedule import (
    CatchUp,
    Overlap,
    Recurrence,
    Schedule,
    plan,
    runs_of,
)

NOW = datetime(2026, 1, 27, 10, 0, 30, tzinfo=UTC)
MINUTELY, HOURLY, EACH_SECOND = "* * * * *", "0 * * * *", "* * * * * *"


def planned(
    cron: str, catch_up: CatchUp, *, since: str, now: datetime = NOW, limit: int = 1000
) -> tuple[list[str], str]:
    """The times to run and the next due one, as the clock shows them on that day."""
    first_due = datetime.fromisoformat(f"2026-01-27 {since}").replace(tzinfo=UTC)
    made = plan(read_cron(cron, "UTC"), catch_up, first_due=first_due, now=now, limit=limit)
    assert made.next_due is not None
    return [f"{due:%H:%M:%S}" for due in made.due], f"{made.next_due:%H:%M:%S}"


@pytest.mark.parametrize("catch_up", CatchUp)
def test_what_is_due_now_is_run(catch_up: CatchUp) -> None:
    assert planned(MINUTELY, catch_up, since="10:00:00") == (["10:00:00"], "10:01:00")


@pytest.mark.parametrize("catch_up", CatchUp)
def test_less_than_a_minute_late_is_on_time(catch_up: CatchUp) -> None:
    now = NOW.replace(second=3)
    assert planned("3,4 0 9,10 * * *", catch_up, since="10:00:03", now=now) == (["10:00:03"], "10:00:04")
    now = datetime(2026, 1, 27, 10, 0, 59, 999_999, tzinfo=UTC)
    assert planned(HOURLY, catch_up, since="10:00:00", now=now) == (["10:00:00"], "11:00:00")
    assert planned(EACH_SECOND, catch_up, since="10:00:28") == (["10:00:28", "10:00:29", "10:00:30"], "10:00:31")


def test_none_goes_on_with_the_next() -> None:
    late = NOW.replace(minute=1)
    assert planned(HOURLY, CatchUp.NONE, since="08:00:00", now=late) == ([], "11:00:00")
    assert planned(MINUTELY, CatchUp.NONE, since="08:00:00") == (["10:00:00"], "10:01:00")


def test_last_runs_the_newest_missed_where_none_is_due_in_time() -> None:
    late = NOW.replace(minute=1)
    assert planned(HOURLY, CatchUp.LAST, since="08:00:00", now=late) == (["10:00:00"], "11:00:00")
    assert planned(HOURLY, CatchUp.LAST, since="10:00:00", now=late) == (["10:00:00"], "11:00:00")
    assert planned(MINUTELY, CatchUp.LAST, since="08:00:00") == (["10:00:00"], "10:01:00")


def test_all_runs_each_in_order_a_bounded_number_at_once() -> None:
    hours = ["07:00:00", "08:00:00", "09:00:00", "10:00:00"]
    assert planned(HOURLY, CatchUp.ALL, since="07:00:00") == (hours, "11:00:00")
    assert planned(HOURLY, CatchUp.ALL, since="07:00:00", limit=4) == (hours, "11:00:00")
    assert planned(HOURLY, CatchUp.ALL, since="07:00:00", limit=3) == (hours[:3], "10:00:00")
    assert planned(EACH_SECOND, CatchUp.NONE, since="10:00:00", limit=2) == (["10:00:00", "10:00:01"], "10:00:02")


JOB = NewJob(
    tenant_id=1,
    job_id=new_job_id(),
    type="echo",
    queue="night",
    priority=7,
    parameters='{"big": 123456789012345678901234567890}',
    timeout_seconds=2.5,
    max_attempts=3,
    labels='{"a": "ü"}',
    callback_url="https://example.com",
    callback_secret="whsec_AAAA",
    callback_events=56,
    flow=Flow(unique_key="k", debounce=Debounce(1.0, 10.0), depends_on=(uuid4(), uuid4()), expires_in_seconds=60.0),
)


def standing(overlap: Overlap = Overlap.ALLOW) -> Schedule:
    asked = Recurrence(MINUTELY, "UTC", "{}", template(JOB), overlap, CatchUp.ALL, paused=False)
    return Schedule(1, "nightly", asked, NOW, None, None, NOW, NOW)


def test_a_template_is_read_as_it_was_written() -> None:
    assert read_template(template(JOB)) == JOB
    assert read_template(template(JOB._replace(flow=None))) == JOB._replace(flow=None)


def test_a_template_names_its_members() -> None:
    """A version with more members, or others before them, still reads it."""
    assert '"flow":{"expires_in_seconds":60.0' in template(JOB)
    assert '"max_attempts":3' in template(JOB)


def test_each_due_time_has_a_job_of_its_own_that_names_it() -> None:
    due = [NOW, NOW + timedelta(minutes=1)]
    runs = runs_of(standing(), due, JOB, busy=True, new_id=new_job_id)
    jobs = [run.job for run in runs if run.job is not None]
    assert [run.due_at for run in runs] == due
    assert len({JOB.job_id, *(job.job_id for job in jobs)}) == 3
    assert [job.correlation_id for job in jobs] == [
        "schedule:nightly:2026-01-27T10:00:30.000Z",
        "schedule:nightly:2026-01-27T10:01:30.000Z",
    ]
    assert all(job._replace(job_id=JOB.job_id, correlation_id=None) == JOB for job in jobs)


def test_skip_passes_over_what_is_due_while_a_job_has_not_ended() -> None:
    due = [NOW + timedelta(minutes=n) for n in range(3)]
    busy = runs_of(standing(Overlap.SKIP), due, JOB, busy=True, new_id=new_job_id)
    free = runs_of(standing(Overlap.SKIP), due, JOB, busy=False, new_id=new_job_id)
    assert [(run.due_at, run.job) for run in busy] == [(due_at, None) for due_at in due]
    assert [run.job is not None for run in free] == [True, False, False]
