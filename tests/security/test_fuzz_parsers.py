"""Any text at the parsers of cursors, keys, header fields, times and signatures: read or refused, in linear time."""

import base64
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.api.jobs.long_poll import preferred_wait
from duly.api.jobs.submission_headers import key_text
from duly.client import SignatureError, verify_webhook
from duly.domain.cron import CronRefused, read_cron
from duly.domain.cursor import decode_cursor, encode_cursor
from duly.domain.entity_tags import read_sequences
from duly.domain.forwarded import read_forwarded
from duly.domain.negotiation import gzip_use, prefers_problem
from duly.domain.retry_after import read_retry_after
from duly.domain.stream_position import StreamPosition, read_position
from duly.errors import Invalid
from duly.webhooks.signature import signature_header
from tests.support.fuzzing import fuzzed

NOW = datetime(2026, 1, 27, 10, tzinfo=UTC)
ANY = st.text(max_size=80)
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


# Cursors


@fuzzed(300)
@given(st.text("ab", max_size=2), st.text("ab", max_size=2), st.binary(min_size=1, max_size=40))
def test_a_cursor_is_read_as_its_own_kind_alone(kind: str, other: str, position: bytes) -> None:
    written = encode_cursor(kind, position)
    assert decode_cursor(kind, written) == position
    assert decode_cursor(other, written) == (position if other == kind else None)


@fuzzed(500)
@given(ANY | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_is_no_cursor(text: str) -> None:
    assert decode_cursor("jobs", text) is None
    assert read_position(text) is None


@fuzzed(500)
@given(st.binary(min_size=1, max_size=30), st.data())
def test_a_cursor_has_one_spelling(position: bytes, data: st.DataObject) -> None:
    written = encode_cursor("jobs", position)
    place = data.draw(st.integers(0, len(written)))
    changed = written[:place] + data.draw(st.text(max_size=2)) + written[place + data.draw(st.integers(0, 2)) :]
    assert decode_cursor("jobs", changed) == (position if changed == written else None)


@fuzzed(200)
@given(st.integers(0, 2**64 - 1), st.uuids(), st.integers(0, 2**32 - 1))
def test_a_position_of_the_stream_is_read_as_it_was_written(tx: int, job_id: object, sequence: int) -> None:
    position = StreamPosition(tx, job_id, sequence)  # type: ignore[arg-type]
    assert read_position(str(position)) == position


# Times

DATE_PARTS = st.sampled_from(
    [
        *(
            "Tue",
            "Tue,",
            "27",
            "Jan",
            "2026",
            "10:00:00",
            "GMT",
            "+9999",
            "-0000",
            "99999999999",
            "-1",
            "0",
            "24:60:61",
        ),
        *(
            "Tuesday,",
            "27-Jan-26",
            "1e9",
            "\u0661",
            "",
            "::",
            "+",
            "-",
            ",",
            "\0",
            "9" * 30,
            "10:00",
            "10.00.00",
            "UTC",
        ),
    ]
)


@fuzzed(1_500)
@given(ANY | st.lists(DATE_PARTS, max_size=8).map(" ".join), ANY | st.lists(DATE_PARTS, max_size=8).map(" ".join))
def test_a_pause_is_a_number_of_seconds_or_none(text: str, date: str) -> None:
    seconds = read_retry_after(text, date=date, now=NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


CRON_PARTS = st.sampled_from(
    [
        *(
            "*",
            "*/1",
            "*/0",
            "*/99999999999999999999",
            "0",
            "59",
            "60",
            "1-5",
            "5-1",
            "1,2",
            "L",
            "1#5",
            "1#6",
            "MON",
            "?",
        ),
        *("JAN", "0-99999999", ",", "-", "/", "", "**", "*/", "LW", "15W", "\u0661", "\0", "1-", "-1", "@daily", "é"),
    ]
)


@fuzzed(400)
@given(
    ANY | st.lists(CRON_PARTS, min_size=4, max_size=7).map(" ".join), st.sampled_from(["UTC", "Asia/Kolkata", "../x"])
)
def test_a_schedule_is_due_later_or_refused_in_words(text: str, zone: str) -> None:
    try:
        cron = read_cron(text, zone)
    except CronRefused as refused:
        assert all(len(error.message) < 500 for error in refused.errors)  # noqa: PT017  # some are valid
        return
    due = cron.next_after(NOW)
    assert due is None or NOW < due < NOW + timedelta(days=366 * 30)


# Headers


@fuzzed(600)
@given(st.binary(max_size=300) | st.text('a"\\ \t\x7f', max_size=8).map(str.encode))
def test_an_idempotency_key_is_visible_ascii_or_refused(value: bytes) -> None:
    try:
        key = key_text({b"idempotency-key": value})
    except Invalid:
        return
    assert key is not None
    assert 1 <= len(key) <= 255
    assert all("!" <= character <= "~" for character in key)
    if '"' not in key and "\\" not in key:
        assert key_text({b"idempotency-key": f'"{key}"'.encode()}) == key


HEADERS: Mapping[str, Callable[[str], object]] = {
    "Prefer": preferred_wait,
    "If-None-Match": read_sequences,
    "Accept": prefers_problem,
    "Accept-Encoding": gzip_use,
    "Forwarded": lambda text: read_forwarded([(b"forwarded", text.encode("latin-1"))], lambda _: True),
    "X-Forwarded-For": lambda text: read_forwarded([(b"x-forwarded-for", text.encode("latin-1"))], lambda _: True),
    "X-Forwarded-Prefix": lambda text: read_forwarded(
        [(b"x-forwarded-prefix", text.encode("latin-1"))], lambda _: True
    ),
    "Retry-After": lambda text: read_retry_after(text, date=text, now=NOW),
    "cursor": lambda text: decode_cursor("jobs", text),
}
FIELD_TEXT = st.text(st.characters(max_codepoint=255), max_size=60) | st.text(
    'wait=;," \\\t*/0179qW-gzipfor[]:._\x00ÿ', max_size=60
)


@pytest.mark.parametrize("name", HEADERS)
@fuzzed(300)
@given(FIELD_TEXT)
def test_any_value_of_a_header_is_read(name: str, text: str) -> None:
    HEADERS[name](text)


PIECES = [
    '"',
    "\\",
    ",",
    ";",
    "=",
    " ",
    "\t",
    "a",
    "0",
    "*",
    'W/"',
    '",',
    ";q=",
    "a=",
    '"\\',
    ", ,",
    "[",
    ":",
    "/",
    ".",
    "1-1",
]


@pytest.mark.parametrize("name", HEADERS)
def test_a_long_value_is_read_in_linear_time(name: str) -> None:
    for piece in PIECES:
        for text in (piece * 16_000, "a" + piece * 8_000 + "\x00", f'"{piece * 8_000}', f"wait=1;{piece * 8_000}x"):
            began = time.process_time()
            HEADERS[name](text[: 60 << 10])
            assert time.process_time() - began < 0.5, (name, piece)


# Signatures

BODY = b'{"type":"job.completed"}'
SIGNED = {
    "webhook-id": "msg_1",
    "webhook-timestamp": str(int(NOW.timestamp())),
    "webhook-signature": signature_header([SECRET], [], message_id="msg_1", timestamp=int(NOW.timestamp()), body=BODY),
}
SIGNATURE_PARTS = st.sampled_from(
    ["v1,", "v1a,", "v2,", ",", " ", "v1", "whsec_", "=", SIGNED["webhook-signature"][:20]]
)


def verified(headers: Mapping[str, str], body: bytes = BODY) -> bool:
    try:
        verify_webhook(headers, body, SECRET, now=NOW.timestamp())
    except SignatureError as error:
        assert SECRET not in str(error)  # noqa: PT017  # most are raised, and some must not be
        return False
    return True


def test_what_was_signed_is_verified() -> None:
    assert verified(SIGNED)


@fuzzed(800)
@given(
    st.sampled_from(sorted(SIGNED)),
    ANY | st.integers().map(str) | st.lists(SIGNATURE_PARTS, max_size=8).map("".join) | st.just("1" * 5_000),
)
def test_no_other_header_is_verified(name: str, value: str) -> None:
    if name == "webhook-signature" and SIGNED[name] in value.split():
        return
    assert verified(SIGNED | {name: value}) == (value == SIGNED[name])


@fuzzed(300)
@given(st.integers(0, len(BODY)), st.binary(max_size=2), st.integers(0, 2))
def test_no_other_body_is_verified(place: int, put: bytes, cut: int) -> None:
    changed = BODY[:place] + put + BODY[place + cut :]
    assert verified(SIGNED, changed) == (changed == BODY)


@fuzzed(300)
@given(st.sampled_from(sorted(SIGNED)), st.integers(0, 70), st.text(max_size=2), st.integers(0, 2))
def test_no_header_with_a_changed_character_is_verified(name: str, place: int, put: str, cut: int) -> None:
    changed = SIGNED[name][:place] + put + SIGNED[name][place + cut :]
    if SIGNED[name] not in changed.split():
        assert not verified(SIGNED | {name: changed})
