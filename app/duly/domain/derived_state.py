"""What a job's events alone tell of it: all that its row in a hot table says, and a little more."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import Event, EventKind, Status, fold
from duly.domain.invariant_facts import History

# Most histories are short, and most of these are like another.
SHORT = 12
_NOBODY = UUID(int=0)
_NO_TIME = datetime.fromtimestamp(0, UTC)


class DerivedState(NamedTuple):
    """A job's state. A round begins with its submission and with each redrive after an end: `started` and `crashes`
    tell of the last one, and `first_round` that it is the first.
    """

    status: Status
    sequence: int
    attempt: int
    cancel_requested: bool
    starts: int
    crashes: int
    started: bool
    first_round: bool

    @property
    def ended(self) -> bool:
        return self.status.ended


def derive_state(job_id: UUID, history: History) -> DerivedState:
    """What these events come to.

    Raises:
        ValueError: they cannot have happened so; the text names the job and what is wrong.
    """
    sequences = list(history.sequences)
    if len(sequences) <= SHORT and sequences == list(range(1, len(sequences) + 1)):
        try:
            return _tell_short(tuple(history.kinds), tuple(history.attempts))
        except ValueError:
            pass  # told again below, in the job's own name
    return _tell(job_id, sequences, history.kinds, history.attempts)


@lru_cache(maxsize=4096)
def _tell_short(kinds: tuple[int, ...], attempts: tuple[int, ...]) -> DerivedState:
    return _tell(_NOBODY, range(1, len(kinds) + 1), kinds, attempts)


def _tell(job_id: UUID, sequences: Sequence[int], numbers: Sequence[int], attempts: Sequence[int]) -> DerivedState:
    if unknown := sorted(set(numbers) - set(EventKind)):
        raise ValueError(f"job {job_id}: it has an event of the unknown kind {unknown[0]}")
    kinds = [EventKind(number) for number in numbers]
    events = [_event(job_id, *event) for event in zip(sequences, kinds, attempts, strict=True)]
    state = fold([_event(job_id, 0, EventKind.SUBMITTED, 0), *events])
    ends = [place for place, kind in enumerate(kinds) if kind.terminal]
    # The end that a redrive follows; the job's last end, where it has ended, is part of its round.
    before = [place for place in ends if place < len(kinds) - 1]
    round_ = kinds[before[-1] + 1 :] if before else kinds
    return DerivedState(
        state.status,
        state.sequence,
        state.attempt,
        state.cancel_requested,
        starts=kinds.count(EventKind.STARTED),
        crashes=round_.count(EventKind.LEASE_EXPIRED),
        started=EventKind.STARTED in round_,
        first_round=not before,
    )


def _event(job_id: UUID, sequence: int, kind: EventKind, attempt: int) -> Event:
    return Event(0, job_id, sequence, kind, attempt, _NO_TIME, "", None)
