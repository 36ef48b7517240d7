"""Pauses of the client before it asks again."""

import httpx
import pytest

from duly.client.responses import retry_after_seconds
from duly.client.waiting import pause_before_poll

DATE = b"Tue, 27 Jan 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        *[("4", 4.0), ("0000000004", 4.0), ("0", 0.0), ("9" * 50, 999_999_999.0)],
        *[("Tue, 27 Jan 2026 10:00:07 GMT", 7.0), ("Tuesday, 27-Jan-26 10:00:07 GMT", 7.0)],
        *[("Tue Jan 27 10:00:07 2026", 7.0), ("Tue, 27 Jan 2026 09:00:00 GMT", 0.0)],
        *[("", 0.3), ("-4", 0.3), ("4, 4", 0.3), ("soon", 0.3), ("٣", 0.3), ("1.5", 0.3)],
    ],
)
def test_the_pause_is_what_the_answer_asks_for(asked: str, seconds: float) -> None:
    response = httpx.Response(503, headers=[(b"Date", DATE), (b"Retry-After", asked.encode())])
    assert retry_after_seconds(response, otherwise=0.3) == seconds


def test_an_answer_that_asks_for_nothing_gets_the_usual_pause() -> None:
    assert retry_after_seconds(httpx.Response(503), otherwise=0.3) == 0.3


def test_a_poll_never_waits_for_years() -> None:
    response = httpx.Response(304, headers={"Retry-After": "9" * 50})
    assert pause_before_poll(response, waited=0.0, asked=0) == 60.0
