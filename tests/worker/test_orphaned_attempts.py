"""Orphaned attempts: which attempts that a node does not know are requeued."""

from typing import Any, cast
from uuid import UUID

import pytest

from duly.domain.job import Finish
from duly.worker import orphaned_attempts
from duly.worker.orphaned_attempts import OrphanedAttempts

NODE, JOB = UUID(int=1), UUID(int=2)


class Recorded:
    """Claimer that reads the attempts recorded as running on a node from a dictionary."""

    def __init__(self, attempts: dict[UUID, int]) -> None:
        self.attempts = attempts

    async def find_running(self, _node: UUID, *, older_than_seconds: float) -> dict[UUID, int]:
        """Returns all of them, whatever their age."""
        assert older_than_seconds > 0
        return dict(self.attempts)


@pytest.fixture(autouse=True)
def _each_round_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphaned_attempts, "FIND_SECONDS", 0.0)


def after_a_lost_response(recorded: Recorded) -> OrphanedAttempts:
    orphans = OrphanedAttempts(cast("Any", recorded))
    orphans.suspect()
    return orphans


async def look(orphans: OrphanedAttempts, *, known: bool) -> list[Finish]:
    return await orphans.find(NODE, known=lambda _: known)


async def test_an_attempt_that_is_unknown_in_two_looks_is_requeued() -> None:
    orphans = after_a_lost_response(Recorded({JOB: 3}))
    assert await look(orphans, known=False) == []
    assert [end.job_id for end in await look(orphans, known=False)] == [JOB]


async def test_an_attempt_that_becomes_known_after_the_first_look_keeps_running() -> None:
    orphans = after_a_lost_response(Recorded({JOB: 3}))
    assert await look(orphans, known=False) == []
    assert await look(orphans, known=True) == []
    assert await look(orphans, known=False) == []


async def test_two_attempts_of_a_job_are_not_taken_for_one() -> None:
    recorded = Recorded({JOB: 3})
    orphans = after_a_lost_response(recorded)
    assert await look(orphans, known=False) == []
    recorded.attempts = {JOB: 4}
    assert await look(orphans, known=False) == []


async def test_the_second_look_follows_though_the_suspicion_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphaned_attempts, "SUSPICION_SECONDS", 60.0)
    orphans = after_a_lost_response(Recorded({JOB: 3}))
    assert await look(orphans, known=False) == []
    monkeypatch.setattr(orphaned_attempts, "SUSPICION_SECONDS", -1.0)
    orphans.suspect()  # as if it had ended
    assert [end.job_id for end in await look(orphans, known=False)] == [JOB]


async def test_without_a_lost_response_nothing_is_looked_up() -> None:
    orphans = OrphanedAttempts(cast("Any", None))
    assert await look(orphans, known=False) == []
