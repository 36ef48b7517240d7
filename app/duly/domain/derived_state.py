"""State of a job derived from its events alone."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import PLACING_NOTHING, Event, EventKind, Status, fold
from duly.domain.invariant_facts import History

# Most histories are short and equal to others, so their states are cached.
SHORT = 12
_NOBODY = UUID(int=0)
_NO_TIME = datetime.fromtimestamp(0, UTC)


class DerivedState(NamedTuple):
    """State of a job. A round begins with its submission and with each retry after an end: `started` describes the last
    round; `first_round`: there is only one. `placed_by`: the event that placed the job where it is. Crashes are counted
    since the submission, the last retry by hand, or the begin of a compensation.
    """

    status: Status
    sequence: int
    attempt: int
    cancel_requested: bool
    starts: int
    crashes: int
    started: bool
    first_round: bool
    placed_by: EventKind = EventKind.SUBMITTED
    compensating: bool = False

    @property
    def in_attempt(self) -> bool:
        """Returns whether an attempt of the job is running."""
        return self.placed_by is EventKind.STARTED

    @property
    def parked(self) -> bool:
        """Returns whether the job waits for a time, a signal or child jobs, without a slot."""
        return self.placed_by is EventKind.PARKED

    @property
    def held(self) -> bool:
        """Returns whether the job is held because its attempts are exhausted."""
        return self.placed_by is EventKind.HELD

    @property
    def ended(self) -> bool:
        """Returns whether the job has ended."""
        return self.status.ended


def derive_state(job_id: UUID, history: History) -> DerivedState:
    """Returns the state that these events give.

    Raises:
        ValueError: the events are inconsistent; the message names the job and the fault.
    """
    sequences = list(history.sequences)
    if len(sequences) <= SHORT and sequences == list(range(1, len(sequences) + 1)):
        try:
            return _derive_short(tuple(history.kinds), tuple(history.attempts))
        except ValueError:
            pass  # derived again below, for a message that names the job
    return _derive(job_id, sequences, history.kinds, history.attempts)


@lru_cache(maxsize=4096)
def _derive_short(kinds: tuple[int, ...], attempts: tuple[int, ...]) -> DerivedState:
    return _derive(_NOBODY, range(1, len(kinds) + 1), kinds, attempts)


def _derive(job_id: UUID, sequences: Sequence[int], numbers: Sequence[int], attempts: Sequence[int]) -> DerivedState:
    if unknown := sorted(set(numbers) - set(EventKind)):
        raise ValueError(f"job {job_id}: it has an event of the unknown kind {unknown[0]}")
    kinds = [EventKind(number) for number in numbers]
    events = [_event(job_id, *event) for event in zip(sequences, kinds, attempts, strict=True)]
    state = fold([_event(job_id, 0, EventKind.SUBMITTED, 0), *events])
    ends = [index for index, kind in enumerate(kinds) if kind.terminal]
    # Ends that a retry follows. The end of an ended job belongs to its last round.
    before = [index for index in ends if index < len(kinds) - 1]
    round_ = kinds[before[-1] + 1 :] if before else kinds
    return DerivedState(
        state.status,
        state.sequence,
        state.attempt,
        state.cancel_requested,
        starts=kinds.count(EventKind.STARTED),
        crashes=_crashes(kinds, attempts),
        started=EventKind.STARTED in round_,
        first_round=not before,
        placed_by=next((kind for kind in reversed(kinds) if kind not in PLACING_NOTHING), EventKind.SUBMITTED),
        compensating=state.compensating,
    )


def _crashes(kinds: Sequence[EventKind], attempts: Sequence[int]) -> int:
    """Returns the number of crashes since they were last forgotten: at a retry by hand, whose attempt is 0, and at the
    begin of a compensation.
    """
    crashes = 0
    for before, kind, attempt in zip([EventKind.SUBMITTED, *kinds], kinds, attempts, strict=False):
        if kind is EventKind.COMPENSATING or before.terminal or (kind is EventKind.REQUEUED and attempt == 0):
            crashes = 0
        crashes += kind is EventKind.LEASE_EXPIRED
    return crashes


def _event(job_id: UUID, sequence: int, kind: EventKind, attempt: int) -> Event:
    return Event(0, job_id, sequence, kind, attempt, _NO_TIME, "", None)
