"""The date of responses: computed when it is needed, once a second at most."""

from types import SimpleNamespace

import pytest

from duly.api.server import date_header
from duly.api.server.date_header import DatedState

FIXED = [(b"server", b"duly")]


def test_the_date_comes_before_the_other_headers_and_is_computed_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, computed = 0.0, 0

    def formatdate(*, usegmt: bool) -> str:
        nonlocal computed
        computed += 1
        return f"{computed} {usegmt}"

    monkeypatch.setattr(date_header, "formatdate", formatdate)
    monkeypatch.setattr(date_header, "time", SimpleNamespace(monotonic=lambda: now))
    state = DatedState()
    state.default_headers = FIXED
    assert state.default_headers == [(b"date", b"1 True"), *FIXED]
    now = 0.9
    assert state.default_headers == [(b"date", b"1 True"), *FIXED]
    now = 1.0
    assert state.default_headers == [(b"date", b"2 True"), *FIXED]
