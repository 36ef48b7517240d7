"""Waiting behind proxies that hold back streams or cut long polls, and while the service is busy or away."""

import re
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from duly.client import Client, Unavailable, waiting
from tests.client.conftest import SILENCE, ScriptedServer
from tests.client.test_client import ENDED, answer, refusal, running, stream


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out each pause, and makes silence short: longer than the server takes to respond."""
    monkeypatch.setattr(waiting, "_STREAM_SILENCE_SECONDS", 2.0)
    monkeypatch.setattr("duly.client.performing.time.sleep", lambda _: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Clock that only the pauses of a wait advance."""
    made = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        made.now += seconds

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr("duly.client.performing.time.sleep", sleep)
    return made


def asked(scripted: ScriptedServer) -> list[str]:
    """Returns what each request was: `stream`, `poll` or the seconds of a long poll."""
    lines = [text.split(" ")[1] for text in scripted.requests]
    return ["stream" if "/stream" in line else (re.findall(r"wait=(\d+)", line) or ["poll"])[0] for line in lines]


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_a_proxy_holds_back_is_replaced_by_long_polls(scripted: ScriptedServer) -> None:
    scripted.answers += [running(2), SILENCE, running(2), running(3), answer(200, ENDED)]
    with Client(scripted.url) as client:
        assert client.wait("j1") == ENDED
        assert asked(scripted) == ["poll", "stream", "poll", "30", "30"]
        # The next wait does not try again.
        scripted.answers += [running(2), answer(200, ENDED)]
        assert client.wait("j1") == ENDED
    assert asked(scripted)[5:] == ["poll", "30"]


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_falls_silent_is_followed_by_the_state_as_it_is_now(scripted: ScriptedServer) -> None:
    scripted.answers += [running(2), stream((3, "job_progress")), SILENCE, answer(200, ENDED)]
    with Client(scripted.url) as client:
        assert client.wait("j1") == ENDED
    assert [re.findall(r"(?i)last-event-id: (\S+)", text) for text in scripted.requests] == [[], ["2"], ["3"], []]


@pytest.mark.usefixtures("impatient")
def test_long_polls_that_a_proxy_cuts_become_shorter_and_then_polls(scripted: ScriptedServer) -> None:
    cut = answer(504, "<html>")
    scripted.answers += [running(2), answer(200, "<html>"), running(2), cut, cut, cut, running(2), answer(200, ENDED)]
    with Client(scripted.url) as client:
        assert client.wait("j1") == ENDED
    assert asked(scripted) == ["poll", "stream", "poll", "30", "7", "1", "poll", "poll"]


@pytest.mark.usefixtures("impatient")
def test_long_polls_stay_long_over_an_outage_in_which_connections_are_refused(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers += [running(2), answer(200, "<html>"), running(2), running(3), answer(200, ENDED)]
    with Client(scripted.url) as client:
        refused = 0
        send = client._http.request

        def request(method: str, url: str, **named: Any) -> httpx.Response:
            nonlocal refused
            if "wait" in named.get("params", {}) and refused < 20:
                refused += 1
                raise httpx.ConnectError("refused", request=client._http.build_request(method, url))
            return send(method, url, **named)

        monkeypatch.setattr(client._http, "request", request)  # nothing listens for a while
        assert client.wait("j1") == ENDED
    assert refused == 20
    assert asked(scripted) == ["poll", "stream", "poll", "30", "30"]


@pytest.mark.usefixtures("impatient")
def test_a_busy_service_is_polled_after_the_pause_it_names(scripted: ScriptedServer) -> None:
    busy = answer(503, refusal(503, "DRAINING", retryable=True), Retry_After="7")
    limited = answer(429, refusal(429, "RATE_LIMITED", retryable=True), Retry_After="9")
    scripted.answers += [running(2), answer(200, "<html>"), busy, limited, running(2), answer(200, ENDED)]
    with Client(scripted.url) as client:
        assert client.wait("j1") == ENDED


@pytest.mark.usefixtures("impatient")
def test_a_service_that_stays_busy_is_reported(scripted: ScriptedServer) -> None:
    busy = answer(503, refusal(503, "DRAINING", retryable=True), Retry_After="7")
    scripted.answers += [running(2), answer(200, "<html>"), *[busy] * 50]
    with Client(scripted.url) as client, pytest.raises(Unavailable) as caught:
        client.wait("j1")
    assert (caught.value.code, caught.value.retry_after_seconds) == ("DRAINING", 7)


def test_a_wait_near_its_deadline_uses_polls_whose_length_it_chooses(
    scripted: ScriptedServer, clock: SimpleNamespace
) -> None:
    unchanged = answer(304, ETag='"2"')
    scripted.answers += [running(2), *[unchanged] * 50]
    with Client(scripted.url) as client, pytest.raises(TimeoutError, match=r"j1 has not ended within 2\.5 s"):
        client.wait("j1", timeout=2.5)
    assert "stream" not in asked(scripted)
    assert asked(scripted)[1] == "2"
    assert clock.now == pytest.approx(2.5)
