"""One receiver's share of the dispatcher."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from duly.domain.events import EventKind
from duly.store.deliveries import DueDelivery
from duly.webhooks import receivers
from duly.webhooks.receivers import Receivers, Turn


def due(url: str) -> DueDelivery:
    moment = datetime.now(UTC)
    kind = EventKind.COMPLETED
    return DueDelivery(1, uuid4(), 1, 1, uuid4(), 2, kind, moment, 1, None, url, None, "echo", None, "c", None)


def test_a_receiver_has_its_share_under_way_the_next_ones_wait_and_the_rest_go_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receivers, "UNDER_WAY", 2)
    monkeypatch.setattr(receivers, "WAITING", 1)
    shares = Receivers()
    turns = [shares.admit(due("http://a.example/x")) for _ in range(4)]
    assert turns == [Turn.NOW, Turn.NOW, Turn.WAITS, Turn.CROWDED]
    assert shares.admit(due("http://b.example/x")) is Turn.NOW  # another host
    assert shares.admit(due("http://a.example:81/x")) is Turn.NOW  # another port


def test_the_end_of_a_post_gives_its_turn_to_the_one_that_has_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "UNDER_WAY", 1)
    shares = Receivers()
    first, second, third = (due("http://a.example/") for _ in range(3))
    assert [shares.admit(delivery) for delivery in (first, second, third)] == [Turn.NOW, Turn.WAITS, Turn.WAITS]
    assert shares.ended(first) is second
    assert shares.ended(second) is third
    assert shares.ended(third) is None
    assert shares.admit(first) is Turn.NOW


def test_what_has_waited_too_long_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "UNDER_WAY", 1)
    shares = Receivers()
    first, second = due("http://a.example/"), due("http://a.example/")
    shares.admit(first)
    shares.admit(second)
    assert shares.take_stale() == []
    monkeypatch.setattr(receivers, "PATIENCE_SECONDS", -1.0)
    assert shares.take_stale() == [second]
    assert shares.ended(first) is None


def test_enough_waits_only_where_turns_come_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "UNDER_WAY", 1)
    monkeypatch.setattr(receivers, "WAITING", 4)
    shares = Receivers()
    first = due("http://brisk.example/")
    shares.admit(first)
    supplied = []
    for _ in range(2):
        shares.admit(due(first.url))
        supplied.append(shares.well_supplied)
    monkeypatch.setattr(receivers, "BRISK_SECONDS", -1.0)
    hanging = shares.well_supplied  # what is behind it must be found
    monkeypatch.setattr(receivers, "BRISK_SECONDS", 1.0)
    shares.ended(first)
    assert (supplied, hanging, shares.well_supplied) == ([False, True], False, False)
