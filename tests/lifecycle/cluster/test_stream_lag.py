"""Delay of the stream of all jobs: a gauge by kind of holder, and one log line for each holder."""

import pytest
from structlog.testing import capture_logs

from duly.lifecycle.cluster.stream_lag import HELD_SECONDS, StreamWatch
from duly.store.ledger.stream_blockers import Held, HolderKind, StreamHolder


def session(tx: int, seconds: float | None) -> StreamHolder:
    return StreamHolder(tx, HolderKind.SESSION, "4711", "app", "shop", "report", "idle in transaction", seconds)


class Watched:
    """A watch with a clock of the test's, and what it set and said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.gauges: dict[str, float] = {}
        self.watch = StreamWatch(self.gauges.__setitem__, elapsed=lambda: self.now)

    def after(self, *readings: Held, seconds: float = 5.0) -> list[str]:
        """The words for machines of what is said while these readings follow each other."""
        with capture_logs() as lines:
            for reading in readings:
                self.watch.note(reading)
                self.now += seconds
        return [line["action"] for line in lines]

    @property
    def behind(self) -> dict[str, float]:
        return {name: value for name, value in self.gauges.items() if value}


def test_without_a_holder_the_stream_is_not_behind() -> None:
    watched = Watched()
    assert watched.after(Held(100, 100, None), Held(100, 100, None), Held(200, 205, None)) == []
    assert watched.gauges == {"session": 0, "prepared_transaction": 0, "unknown": 0}


def test_the_age_of_the_holder_is_shown_under_its_kind() -> None:
    watched = Watched()
    watched.after(Held(7, 9, session(7, 12.5)))
    assert watched.behind == {"session": 12.5}
    watched.after(Held(8, 9, StreamHolder(8, HolderKind.PREPARED, "'x'", "app", "shop", "", "", 3.0)))
    assert watched.behind == {"prepared_transaction": 3.0}
    watched.after(Held(20, 20, None))
    assert watched.behind == {}


def test_an_age_that_cannot_be_seen_counts_from_the_first_look() -> None:
    watched = Watched()
    watched.after(*[Held(7, 9, session(7, None))] * 3)
    assert watched.behind == {"session": 10.0}


def test_a_holder_that_no_catalog_shows_is_unknown() -> None:
    watched = Watched()
    said = watched.after(*[Held(7, 9, None)] * 20)
    assert watched.behind == {"unknown": 95.0}
    assert said == ["stream_held"]


def test_each_holder_is_logged_once_and_so_is_its_end() -> None:
    watched = Watched()
    old, newer = Held(7, 9, session(7, HELD_SECONDS)), Held(8, 9, session(8, HELD_SECONDS + 1))
    assert watched.after(old, old, old) == ["stream_held"]
    assert watched.after(newer, newer) == ["stream_goes_on", "stream_held"]
    assert watched.after(Held(9, 9, None), Held(12, 12, None)) == ["stream_goes_on"]


@pytest.mark.parametrize("seconds", [0.0, HELD_SECONDS - 0.1])
def test_a_young_holder_is_not_logged(seconds: float) -> None:
    assert Watched().after(*[Held(7, 9, session(7, seconds))] * 3) == []


def test_the_line_names_the_holder_and_how_to_end_it() -> None:
    with capture_logs() as lines:
        Watched().watch.note(Held(7, 9, session(7, 3600.0)))
    assert lines[0]["event"] == (
        "stream of all jobs held back for 3,600 s by pid 4711 (report, user app, database shop, idle in "
        "transaction); let it end, or end it: SELECT pg_terminate_backend(4711)"
    )
