"""Endpoints: their events by name and by bit, and the headers they may have sent along."""

from itertools import product

import pytest

from duly.domain.endpoint_events_and_headers import (
    ALWAYS_SENT,
    LARGEST_HEADERS,
    MOST_HEADERS,
    event_errors,
    event_mask,
    event_names,
    header_errors,
)
from duly.domain.webhook_events import BATCH_BIT, CALLBACK_BITS, ENDPOINT_BITS

JOBS = sum(CALLBACK_BITS.values())


def test_each_event_has_its_bit_and_those_sent_unasked_have_none() -> None:
    for name, bit in ENDPOINT_BITS.items():
        assert event_mask([name, *ALWAYS_SENT], filtered=False) == event_mask([name], filtered=True) == bit


def test_a_star_is_everything_and_under_a_filter_leaves_out_what_no_filter_fits() -> None:
    assert event_mask(["*"], filtered=False) == JOBS | BATCH_BIT
    assert event_mask(["*"], filtered=True) == JOBS
    assert event_mask(["*", "batch.completed"], filtered=True) == JOBS | BATCH_BIT


def test_what_is_shown_means_the_same_when_it_is_sent_again() -> None:
    for mask, filtered in product(range(2 * BATCH_BIT), (False, True)):
        assert event_mask(event_names(mask, filtered=filtered), filtered=filtered) == mask


def test_all_of_it_is_shown_as_a_star() -> None:
    assert event_names(JOBS | BATCH_BIT, filtered=False) == ["*"]
    assert event_names(JOBS, filtered=True) == ["*"]
    assert event_names(JOBS | BATCH_BIT, filtered=True) == ["*", "batch.completed"]
    assert event_names(JOBS, filtered=False) == list(CALLBACK_BITS)
    assert event_names(0, filtered=False) == list(ALWAYS_SENT)


def test_names_that_are_no_events_are_told_by_their_place() -> None:
    found = list(event_errors(["job.completed", "job.done", "*", "webhook.test", "endpoint.disabled", ""]))
    assert [error.path for error in found] == ["events[1]", "events[5]"]
    assert all(name in found[0].message for name in (*ENDPOINT_BITS, "*"))


def test_headers_may_carry_what_a_receiver_wants() -> None:
    assert list(header_errors({"Authorization": "Bearer t", "X-Api-Key": "", "x-a!#$": "~ 1"})) == []


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "CONTENT-TYPE", "content-length", "content-encoding", "content-anything", "User-Agent", "te"),
        *("transfer-encoding", "connection", "upgrade", "accept-encoding", "webhook-id", "webhook-signature", "expect"),
        *("Webhook-New", "X-Webhook-Signature", "x-correlation-id", "traceparent", "tracestate", "trailer"),
        *("proxy-authorization", "Proxy-Anything", "keep-alive"),
    ],
)
def test_headers_that_we_send_or_that_steer_the_connection_are_refused(name: str) -> None:
    assert [error.path for error in header_errors({name: "x"})] == [f"headers.{name}"]


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "é"])
def test_what_is_no_token_is_no_name(name: str) -> None:
    assert [error.path for error in header_errors({name: "x"})] == [f"headers.{name}"]


@pytest.mark.parametrize("value", ["hunter2\r\nhost: a", "hunter2\n", "hunter2\x00", "hunter2é", " hunter2"])
def test_a_refused_value_is_not_repeated(value: str) -> None:
    (error,) = header_errors({"x-key": value})
    assert error.path == "headers.x-key"
    assert "hunter2" not in error.message


def test_a_name_counts_once_whatever_its_capitals() -> None:
    (error,) = header_errors({"X-Key": "1", "x-key": "2"})
    assert (error.path, "twice" in error.message) == ("headers.x-key", True)


def test_headers_are_bounded_in_number_and_size() -> None:
    assert list(header_errors({f"x-{n}": "v" for n in range(MOST_HEADERS)})) == []
    assert [e.path for e in header_errors({f"x-{n}": "v" for n in range(MOST_HEADERS + 1)})] == ["headers"]
    half = LARGEST_HEADERS // 2 - 1
    assert list(header_errors({"a": "v" * half, "b": "v" * half})) == []
    assert [e.path for e in header_errors({"a": "v" * half, "b": "v" * (half + 1)})] == ["headers"]
