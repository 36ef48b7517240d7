"""Classification of responses for a delivery: the whole table, without a network."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.events import EventKind
from duly.domain.retry import WEBHOOK_SCHEDULE_SECONDS
from duly.outbound import OutboundCode, OutboundError, OutboundResponse
from duly.store.webhooks.delivery_attempts import AttemptResult, DeliveryOutcome
from duly.store.webhooks.take_deliveries import DueDelivery
from duly.webhooks.classify import NotSent, classify, classify_refused

DUE = DueDelivery(
    tenant_id=1,
    delivery_id=UUID(int=1),
    token=7,
    attempt=1,
    tries_before=0,
    job_id=UUID(int=2),
    sequence=3,
    kind=EventKind.COMPLETED,
    receiver_id=UUID(int=4),
    registered=True,
    replay_id=None,
    occurred_at=datetime(2026, 1, 27, tzinfo=UTC),
    job_attempt=1,
    data="null",
    job_type="echo",
    labels=None,
    correlation_id="c",
    traceparent=None,
    url="https://client.example.com/hook",
    secret=None,
    previous_secret=None,
    signing_key=None,
    previous_signing_key=None,
    headers=None,
    refusal=None,
    message=None,
)
DAY = 86_400.0
NOW = datetime(2026, 1, 27, tzinfo=UTC)


def answer(status: int, *, body: bytes = b"", **headers: str) -> OutboundResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return OutboundResponse(status=status, headers=named, body=body, truncated=False, duration_seconds=0.25)


def no_answer(code: OutboundCode) -> OutboundError:
    return OutboundError(code, "it did not go well.", duration_seconds=1.5)


def tried(came: OutboundResponse | OutboundError, *, attempt: int = 1, random: float = 0.5) -> AttemptResult:
    return classify(
        DUE._replace(attempt=attempt), came, schedule=WEBHOOK_SCHEDULE_SECONDS, random=lambda: random, now=lambda: NOW
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_every_2xx_is_success(status: int) -> None:
    verdict = tried(answer(status))
    assert (verdict.outcome, verdict.status_code, verdict.error) == (DeliveryOutcome.DELIVERED, status, None)


def test_an_answer_that_was_cut_is_told_apart() -> None:
    assert tried(answer(200)._replace(truncated=True)).cut
    assert not tried(answer(200)).cut
    assert not tried(no_answer("INVALID_RESPONSE")).cut


@pytest.mark.parametrize(
    "status", [100, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 409, 429, 500, 503, 599, 999]
)
def test_every_other_answer_is_a_failure_that_is_tried_again(status: int) -> None:
    verdict = tried(answer(status))
    assert (verdict.outcome, verdict.status_code) == (DeliveryOutcome.TRY_AGAIN, status)
    assert verdict.error == f"the receiver answered {status}"


@pytest.mark.parametrize("code", ["CONNECT_FAILED", "TLS_FAILED", "TIMED_OUT", "INVALID_RESPONSE"])
def test_no_answer_is_a_failure_that_is_tried_again(code: OutboundCode) -> None:
    verdict = tried(no_answer(code))
    assert (verdict.outcome, verdict.status_code, verdict.answer) == (DeliveryOutcome.TRY_AGAIN, None, None)
    assert verdict.error == f"{code}: it did not go well."
    assert verdict.duration_ms == 1500


@pytest.mark.parametrize(
    "came",
    [
        no_answer("BLOCKED_ADDRESS"),
        no_answer("INVALID_URL"),
        answer(410),
        answer(500, webhook_delivery="abort-message"),
        answer(302, webhook_delivery=" Abort-Message "),
    ],
)
def test_what_can_never_succeed_is_given_up_at_once(came: OutboundResponse | OutboundError) -> None:
    verdict = tried(came)
    assert (verdict.outcome, verdict.delay_seconds) == (DeliveryOutcome.GIVEN_UP, 0.0)
    assert verdict.error


def test_a_receiver_that_has_it_may_say_abort_and_has_it_all_the_same() -> None:
    assert tried(answer(200, webhook_delivery="abort-message")).outcome is DeliveryOutcome.DELIVERED


@pytest.mark.parametrize(("attempt", "seconds"), list(enumerate(WEBHOOK_SCHEDULE_SECONDS, start=1)))
def test_the_schedule_holds_within_a_fifth(attempt: int, seconds: float) -> None:
    delays = [tried(answer(500), attempt=attempt, random=chance).delay_seconds for chance in (0.0, 0.5, 1.0)]
    assert delays == pytest.approx([seconds * 0.8, seconds, seconds * 1.2])


def test_a_delivery_that_is_sent_again_has_the_whole_schedule_anew() -> None:
    last = len(WEBHOOK_SCHEDULE_SECONDS)
    for before in (1, 4, last + 1):
        again = DUE._replace(tries_before=before)
        outcomes = [
            classify(
                again._replace(attempt=before + place),
                answer(500),
                schedule=WEBHOOK_SCHEDULE_SECONDS,
                random=half,
                now=lambda: NOW,
            )
            for place in (1, last, last + 1)
        ]
        assert [(one.outcome, one.delay_seconds) for one in outcomes] == [
            (DeliveryOutcome.TRY_AGAIN, WEBHOOK_SCHEDULE_SECONDS[0]),
            (DeliveryOutcome.TRY_AGAIN, WEBHOOK_SCHEDULE_SECONDS[-1]),
            (DeliveryOutcome.GIVEN_UP, 0.0),
        ]


def half() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("came", "reason"),
    [
        (answer(410), "GONE: "),
        (answer(500, webhook_delivery="disable"), "REQUESTED: "),
        (answer(204, webhook_delivery="Disable"), "REQUESTED: "),
        (answer(500, webhook_delivery="abort-message"), None),
        (answer(404), None),
        (no_answer("BLOCKED_ADDRESS"), None),
        (no_answer("TIMED_OUT"), None),
    ],
)
def test_a_receiver_may_say_that_it_wants_no_more(came: OutboundResponse | OutboundError, reason: str | None) -> None:
    verdict = tried(came)
    assert (verdict.disables or "").startswith(reason or "")
    assert (verdict.disables is None) is (reason is None)


@pytest.mark.parametrize(
    ("came", "fails"),
    [
        (answer(204), False),
        (answer(500), True),
        (answer(302), True),
        (no_answer("TIMED_OUT"), True),
        (no_answer("CONNECT_FAILED"), True),
        (answer(410), False),
        (answer(500, webhook_delivery="abort-message"), False),
        (answer(500, webhook_delivery="disable"), False),
        (no_answer("BLOCKED_ADDRESS"), False),
        (NotSent("NOT_SENT", "a fault of ours", duration_seconds=0), False),
    ],
)
def test_what_says_that_a_receiver_is_in_trouble(came: OutboundResponse | OutboundError, fails: bool) -> None:
    assert tried(came).fails is fails


@pytest.mark.parametrize("refusal", ["ENDPOINT_DELETED", "ENDPOINT_DISABLED", "JOB_DELETED"])
def test_what_nobody_is_there_for_is_given_up_and_says_why(refusal: str) -> None:
    verdict = classify_refused(DUE._replace(url=None, refusal=refusal, attempt=3))
    assert (verdict.outcome, verdict.attempt, verdict.fails, verdict.disables) == (
        DeliveryOutcome.GIVEN_UP,
        3,
        False,
        None,
    )
    assert (verdict.error or "").startswith(f"{refusal}: ")


def test_a_used_up_schedule_ends_the_delivery() -> None:
    last = len(WEBHOOK_SCHEDULE_SECONDS)
    assert tried(answer(500), attempt=last).outcome is DeliveryOutcome.TRY_AGAIN
    assert tried(answer(500), attempt=last + 1).outcome is DeliveryOutcome.GIVEN_UP
    assert tried(no_answer("TIMED_OUT"), attempt=last + 1).outcome is DeliveryOutcome.GIVEN_UP
    assert tried(answer(200), attempt=last + 1).outcome is DeliveryOutcome.DELIVERED


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("120", 120.0),
        ("0", 5.0),
        ("1", 5.0),
        (" 90 ", 90.0),
        ("999999999999999999999999", DAY),
        ("-5", 5.0),
        ("1.5", 5.0),
        ("", 5.0),
        ("soon", 5.0),
        ("Mon, 99 Foo", 5.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 5.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        ("Fri, 31 Dec 9999 23:59:59 -9999", 5.0),
        ("Mon, 01 Jan 2024 00:00:00 +999999999999", 5.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 5.0),
    ],
)
def test_a_longer_retry_after_is_honoured_up_to_a_day_and_nonsense_is_not(asked: str, seconds: float) -> None:
    assert tried(answer(503, retry_after=asked)).delay_seconds == seconds


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_a_retry_after_may_be_a_date(zone: str) -> None:
    moment = NOW + timedelta(hours=1)
    asked = format_datetime(moment).replace("+0000", zone)
    assert tried(answer(429, retry_after=asked)).delay_seconds == 3600


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_no_header_of_a_receiver_breaks_the_verdict(text: str) -> None:
    verdict = tried(answer(500, retry_after=text, webhook_delivery=text))
    assert verdict.outcome in {DeliveryOutcome.TRY_AGAIN, DeliveryOutcome.GIVEN_UP}
    assert 0 <= verdict.delay_seconds <= DAY


@given(
    st.from_regex(
        r"\A(Mon, )?[0-9]{1,9}[ -](Jan|Feb|Dec)[ -][0-9]{1,12} "
        r"[0-9]{1,3}:[0-9]{1,3}(:[0-9]{1,12})? ([+-][0-9]{1,12}|GMT)\Z"
    )
)
def test_no_date_of_a_receiver_breaks_the_verdict(text: str) -> None:
    assert 0 <= tried(answer(500, retry_after=text)).delay_seconds <= DAY


def test_the_first_kibibyte_of_the_answer_is_kept_without_what_postgres_cannot_hold() -> None:
    assert tried(answer(500, body=b"a\x00b\xffc")).answer == "a\ufffdb\ufffdc"
    assert tried(answer(200, body=b"")).answer == ""
    assert tried(answer(500, body=b"x" * 5000)).answer == "x" * 1024
    assert tried(answer(500, body=b"x" * 1024)).answer == "x" * 1024


@given(st.binary(max_size=5000))
def test_any_answer_can_be_kept(body: bytes) -> None:
    kept = tried(answer(500, body=body)).answer
    assert kept is not None
    assert len(kept) <= 1024
    assert "\0" not in kept
    kept.encode()


def test_the_try_carries_what_the_ledger_needs_to_settle_it() -> None:
    verdict = tried(answer(500, body=b"no"), attempt=2)
    assert (verdict.tenant_id, verdict.job_id, verdict.delivery_id, verdict.token) == (1, UUID(int=2), UUID(int=1), 7)
    assert (verdict.sequence, verdict.kind, verdict.attempt, verdict.duration_ms) == (3, EventKind.COMPLETED, 2, 250)
    assert (verdict.receiver_id, verdict.registered) == (UUID(int=4), True)
