"""Retry policies: delays, and the end of retries."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.retry import (
    DEFAULT_RETRY,
    LONGEST_DELAY_SECONDS,
    WEBHOOK_SCHEDULE_SECONDS,
    Decision,
    GiveUp,
    RetryAfter,
    RetryPolicy,
    decide_after_failure,
    decide_after_lost_worker,
    exponential,
    fixed,
    linear,
    webhook_delay,
)

CHANCE = st.floats(0, 1, exclude_max=True)
HOURS = 3600.0


def middle() -> float:
    return 0.5


def lowest() -> float:
    return 0.0


def highest() -> float:
    return math.nextafter(1.0, 0.0)


def delays(policy: RetryPolicy, attempts: int) -> list[float]:
    return [policy.delay_after(attempt, random=middle) for attempt in range(1, attempts + 1)]


def after_failure(
    attempt: int = 1, *, retryable: bool = True, requested: float | None = None, max_attempts: int = 5
) -> Decision:
    return decide_after_failure(
        attempt=attempt,
        max_attempts=max_attempts,
        retryable=retryable,
        requested_delay_seconds=requested,
        policy=DEFAULT_RETRY,
        random=middle,
    )


# Policies


def test_each_shape_grows_as_it_says() -> None:
    assert delays(fixed(7), 3) == [7, 7, 7]
    assert delays(linear(10, cap=35), 5) == [10, 20, 30, 35, 35]
    assert delays(exponential(2, factor=3, cap=100), 5) == [2, 6, 18, 54, 100]


def test_the_default_begins_at_a_second_and_doubles_up_to_five_minutes() -> None:
    assert delays(DEFAULT_RETRY, 11) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@pytest.mark.parametrize("policy", [exponential(), exponential(1, factor=2), linear(1)])
@pytest.mark.parametrize("attempt", [10_000, 10**12, 10**400])
def test_however_many_attempts_there_were_the_delay_is_the_cap(policy: RetryPolicy, attempt: int) -> None:
    assert policy.delay_after(attempt, random=middle) == 300


def test_jitter_spreads_to_both_sides_of_the_delay() -> None:
    policy = exponential(10, jitter=0.2)
    assert policy.delay_after(1, random=lowest) == pytest.approx(8)
    assert policy.delay_after(1, random=highest) == pytest.approx(12)
    assert fixed(10).delay_after(1, random=lowest) == 10


@given(
    policy=st.builds(
        RetryPolicy,
        shape=st.sampled_from(["fixed", "linear", "exponential"]),
        first_seconds=st.floats(0, 1000),
        cap_seconds=st.floats(1000, LONGEST_DELAY_SECONDS),
        factor=st.floats(1, 1e300),
        jitter=st.floats(0, 1),
    ),
    attempt=st.integers(0, 10_000) | st.just(10**400),
    chance=CHANCE,
)
def test_a_delay_is_never_negative_and_never_beyond_the_cap_and_its_jitter(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    delay = policy.delay_after(attempt, random=lambda: chance)
    assert 0 <= delay <= policy.cap_seconds * (1 + policy.jitter)


@given(st.sampled_from([fixed(3), linear(3), exponential(3), exponential(0.1, factor=1.01)]), st.integers(1, 10_000))
def test_a_later_attempt_never_waits_less(policy: RetryPolicy, attempt: int) -> None:
    assert policy.delay_after(attempt, random=middle) <= policy.delay_after(attempt + 1, random=middle)


@pytest.mark.parametrize("policy", [fixed(0), linear(0), exponential(0)])
@pytest.mark.parametrize("attempt", [1, 10_000, 10**400])
def test_no_delay_stays_no_delay(policy: RetryPolicy, attempt: int) -> None:
    assert policy.delay_after(attempt, random=highest) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fixed(-1), "first_seconds must be 0 or more, not -1"),
        (lambda: fixed(math.nan), "first_seconds must be 0 or more, not nan"),
        (lambda: fixed(math.inf), "first_seconds must be 0 or more, not inf"),
        (lambda: linear(10, cap=9), r"cap_seconds \(9\) must not be below first_seconds \(10\)"),
        (lambda: linear(10, cap=math.nan), r"cap_seconds \(nan\)"),
        (lambda: exponential(cap=1e12), "a year"),
        (lambda: exponential(factor=0.5), "factor must be 1 or more, not 0.5"),
        (lambda: exponential(factor=math.inf), "factor must be 1 or more, not inf"),
        (lambda: exponential(jitter=1.5), "jitter must be between 0 and 1, not 1.5"),
        (lambda: exponential(jitter=-0.1), "jitter must be between 0 and 1, not -0.1"),
        (lambda: RetryPolicy("linear", 5, 1), r"cap_seconds \(1\) must not be below first_seconds \(5\)"),
    ],
)
def test_a_policy_that_makes_no_sense_names_the_figure(make: Callable[[], RetryPolicy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# After a failure


def test_a_failed_attempt_is_tried_again_as_the_policy_says() -> None:
    assert after_failure(1) == RetryAfter(1)
    assert after_failure(4) == RetryAfter(8)


def test_the_last_attempt_is_the_last() -> None:
    assert after_failure(5) == GiveUp()
    assert after_failure(6) == GiveUp()
    assert after_failure(1, max_attempts=1) == GiveUp()


def test_what_is_not_retryable_is_not_tried_again() -> None:
    assert after_failure(1, retryable=False) == GiveUp()
    assert after_failure(1, retryable=False, requested=3) == GiveUp()


def test_a_delay_that_the_handler_asked_for_is_kept_to_the_second() -> None:
    assert after_failure(1, requested=90) == RetryAfter(90)
    assert after_failure(1, requested=0) == RetryAfter(0)
    assert after_failure(5, requested=90) == GiveUp()


def test_a_senseless_request_for_a_delay_never_reaches_the_ledger() -> None:
    assert after_failure(1, requested=-5) == RetryAfter(0)
    assert after_failure(1, requested=math.inf) == RetryAfter(LONGEST_DELAY_SECONDS)
    assert after_failure(1, requested=math.nan) == RetryAfter(1)


# After a lost worker


@pytest.mark.parametrize(
    ("attempt", "max_attempts", "crashes", "decision"),
    [
        (1, 5, 1, RetryAfter(0)),
        (2, 5, 2, RetryAfter(0)),
        (3, 5, 3, GiveUp("CRASH_LOOP")),
        (4, 5, 7, GiveUp("CRASH_LOOP")),
        (1, 1, 1, GiveUp("WORKER_LOST")),
        (5, 5, 2, GiveUp("WORKER_LOST")),
        (5, 5, 3, GiveUp("CRASH_LOOP")),
    ],
)
def test_a_lost_job_runs_again_at_once_until_its_attempts_or_three_crashes_are_used_up(
    attempt: int, max_attempts: int, crashes: int, decision: Decision
) -> None:
    assert decide_after_lost_worker(attempt=attempt, max_attempts=max_attempts, crashes=crashes) == decision


# Webhooks


def delay(attempt: int, *, retry_after: float | None = None, chance: float = 0.5) -> float | None:
    return webhook_delay(
        attempt, schedule=WEBHOOK_SCHEDULE_SECONDS, retry_after_seconds=retry_after, random=lambda: chance
    )


def test_the_schedule_of_the_contract_is_followed_and_then_it_ends() -> None:
    hours = [2, 5, 10, 14, 20, 24]
    contract = [5, 5 * 60, 30 * 60, *(hour * HOURS for hour in hours), None]
    assert [delay(attempt) for attempt in range(1, 11)] == contract
    assert delay(11, retry_after=60) is None
    assert delay(0) == 5


@given(st.integers(1, 9), CHANCE)
def test_every_webhook_delay_is_within_a_fifth_of_the_schedule(attempt: int, chance: float) -> None:
    scheduled = WEBHOOK_SCHEDULE_SECONDS[attempt - 1]
    waits = delay(attempt, chance=chance)
    assert waits is not None
    assert 0.8 * scheduled <= waits <= 1.2 * scheduled


def test_webhook_delays_spread_over_that_fifth() -> None:
    assert delay(1, chance=0) == pytest.approx(4)
    assert delay(1, chance=0.999999) == pytest.approx(6)


def test_a_longer_retry_after_is_honoured_up_to_a_day() -> None:
    assert delay(1, retry_after=120) == 120
    assert delay(2, retry_after=10) == 300
    assert delay(1, retry_after=-1) == 5
    assert delay(1, retry_after=math.nan) == 5
    assert delay(1, retry_after=30 * 24 * HOURS) == 24 * HOURS
    assert delay(1, retry_after=math.inf) == 24 * HOURS


def test_another_schedule_may_be_set() -> None:
    assert webhook_delay(1, schedule=(9,), retry_after_seconds=None, random=middle) == 9
    assert webhook_delay(2, schedule=(9,), retry_after_seconds=None, random=middle) is None
    assert webhook_delay(1, schedule=(), retry_after_seconds=None, random=middle) is None
