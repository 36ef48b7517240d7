"""Model of one job: its hot row, its lease token and all statements under way, small enough to explore every state.

Each transition is one statement of the store, applied in an instant, or one thing that happens to a node. A statement
that a node has sent is applied at any later moment, also after the node was killed, twice, or never. A lease expires at
any moment. The clock is not part of the model, since each of its readings corresponds to some order of transitions.

`generation` counts claims outside the database. The database only knows its token, so an outcome that it accepts from
another generation is one that the token failed to keep out.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

MAX_ATTEMPTS = 2
NODES = 2
# Bounds that keep the number of states finite.
MOST_CLAIMS = 3


class Place(StrEnum):
    """Table that has the row of the job; `ENDED` if none has."""

    READY = "ready"
    RUNNING = "running"
    PARKED = "parked"
    ENDED = "ended"


class Sent(NamedTuple):
    """Statement that a node has sent. It may be applied at any later moment, more than once, or never."""

    write: str
    token: int
    generation: int


class Attempt(NamedTuple):
    """Attempt as its node knows it."""

    token: int
    generation: int
    phase: str  # "began", "stepped", or "sent" once its outcome is under way
    knows_step: bool
    knows_signal: bool


class Job(NamedTuple):
    """State of the database, the nodes and the statements between them."""

    place: Place = Place.READY
    token: int = 0
    generation: int = 0
    attempts: int = 0
    waits_for: str = ""  # "signal" or "timer", while parked
    signalled: bool = False
    cancelled: bool = False
    steps: int = 0
    ends: int = 0
    outcome: str = ""
    stale: bool = False
    nodes: tuple[Attempt | None, ...] = (None,) * NODES
    sent: frozenset[Sent] = frozenset()


class Fault(StrEnum):
    """Mistakes that an implementation could make, planted one at a time."""

    NO_TOKEN_CHECK = "an outcome is accepted by the id of the job alone"
    TOKEN_NOT_RAISED = "a claim leaves the token as it was"
    STEP_NOT_FENCED = "a step is recorded from any sender"
    PARK_IGNORES_SIGNAL = "parking does not look for a signal that has come"
    SIGNAL_WAKES_NOBODY = "a signal does not resume a parked job"
    FINISH_KEEPS_ROW = "an end leaves the row in running"
    SWEEP_NEVER_GIVES_UP = "a lost lease returns the job whatever its attempts"
    SWEEP_FORGETS_CANCEL = "a lost lease returns a job that is to be cancelled"
    FINISH_FORGETS_CANCEL = "an outcome wins over a cancel request that was acknowledged"
    RESUME_CHARGED = "parking is charged as an attempt"
    NO_SWEEP = "there is no sweep for lost leases"


Step = tuple[str, Job]


def transitions(job: Job, fault: Fault | None = None) -> Iterator[Step]:
    """Yields every transition out of a state: its name and the next state.

    After the end only statements that were sent before it are left: a node that still runs sends nothing that some
    other order of the transitions does not send earlier.
    """
    for sent in job.sent:
        yield from _apply(job, sent, fault)
    if job.place is Place.ENDED:
        return
    yield from _database(job, fault)
    if None in job.nodes:
        yield from _claim(job, job.nodes.index(None), fault)
    for number, attempt in enumerate(job.nodes):
        if attempt is not None:
            yield from _handler(job, number, attempt)


def _claim(job: Job, node: int, fault: Fault | None) -> Iterator[Step]:
    if job.place is not Place.READY or job.generation == MOST_CLAIMS:
        return
    token = job.token if fault is Fault.TOKEN_NOT_RAISED and job.token else job.token + 1
    attempt = Attempt(token, job.generation + 1, "began", job.steps > 0, job.signalled)
    claimed = job._replace(place=Place.RUNNING, token=token, generation=job.generation + 1, attempts=job.attempts + 1)
    yield "claim", _with(claimed, node, attempt)


def _handler(job: Job, node: int, attempt: Attempt) -> Iterator[Step]:
    yield f"kill the node of claim {attempt.generation}", _with(job, node, None)
    if attempt.phase == "began":
        if attempt.knows_step:
            yield f"claim {attempt.generation} skips the step", _with(job, node, attempt._replace(phase="stepped"))
        else:
            yield f"claim {attempt.generation} runs the step", _send(job, node, attempt, "step")
    if attempt.phase != "stepped":
        return
    for write in ("complete", "fail", *(() if attempt.knows_signal else ("park signal", "park timer"))):
        yield f"claim {attempt.generation} sends {write}", _send(job, node, attempt, write)


def _database(job: Job, fault: Fault | None) -> Iterator[Step]:
    """Yields what other statements do: the sweep, cancel requests, signals and timers."""
    if job.place is Place.RUNNING and fault is not Fault.NO_SWEEP:
        yield "sweep", _lost(job, fault)
    if job.place is not Place.ENDED and not job.cancelled:
        asked = job._replace(cancelled=True)
        yield "cancel", asked if job.place is Place.RUNNING else _ended(asked, "cancelled")
    if job.place is not Place.ENDED and not job.signalled:
        waits = job.place is Place.PARKED and job.waits_for == "signal" and fault is not Fault.SIGNAL_WAKES_NOBODY
        signalled = job._replace(signalled=True)
        yield "signal", signalled._replace(place=Place.READY, waits_for="") if waits else signalled
    if job.place is Place.PARKED and job.waits_for == "timer":
        yield "timer is due", job._replace(place=Place.READY, waits_for="")


def _lost(job: Job, fault: Fault | None) -> Job:
    if job.cancelled and fault is not Fault.SWEEP_FORGETS_CANCEL:
        return _ended(job, "cancelled")
    if job.attempts >= MAX_ATTEMPTS and fault is not Fault.SWEEP_NEVER_GIVES_UP:
        return _ended(job, "failed")
    return job._replace(place=Place.READY)


def _apply(job: Job, sent: Sent, fault: Fault | None) -> Iterator[Step]:
    """Yields the effect of a statement, with its response and without it."""
    after = _written(job, sent, fault)
    if after is not job:
        yield f"apply {sent.write} of claim {sent.generation}, response lost", after
    yield (
        f"apply {sent.write} of claim {sent.generation}",
        _answered(after, sent, held=job.place is Place.RUNNING and job.token == sent.token),
    )


def _answered(job: Job, sent: Sent, *, held: bool) -> Job:
    """Returns the state after the node has read the response: it goes on after its step, and drops all else."""
    for number, attempt in enumerate(job.nodes):
        if attempt is not None and attempt.generation == sent.generation:
            goes_on = held and sent.write == "step"
            return _with(job, number, attempt._replace(phase="stepped", knows_step=True) if goes_on else None)
    return job


def _written(job: Job, sent: Sent, fault: Fault | None) -> Job:
    fenced = job.place is Place.RUNNING and job.token == sent.token
    if sent.write == "step":
        if fault is Fault.STEP_NOT_FENCED or (fenced and not job.steps):
            return _noted(job, sent)._replace(steps=job.steps + 1)
        return job
    if not fenced and not (fault is Fault.NO_TOKEN_CHECK and job.place is Place.RUNNING):
        return job
    return _left(_noted(job, sent), sent.write, fault)


def _noted(job: Job, sent: Sent) -> Job:
    return job._replace(stale=job.stale or sent.generation != job.generation)


def _left(job: Job, write: str, fault: Fault | None) -> Job:
    """Returns the state after an accepted outcome."""
    if job.cancelled and fault is not Fault.FINISH_FORGETS_CANCEL:
        return _ended(job, "cancelled")
    if write == "complete":
        ended = _ended(job, "completed")
        return ended._replace(place=Place.RUNNING) if fault is Fault.FINISH_KEEPS_ROW else ended
    if write == "fail" and job.attempts >= MAX_ATTEMPTS:
        return _ended(job, "failed")
    if write == "fail":
        return job._replace(place=Place.READY)
    uncharged = job._replace(attempts=job.attempts - (fault is not Fault.RESUME_CHARGED))
    waits_for = write.removeprefix("park ")
    has_come = write == "park signal" and job.signalled and fault is not Fault.PARK_IGNORES_SIGNAL
    if has_come:
        return uncharged._replace(place=Place.READY)
    return uncharged._replace(place=Place.PARKED, waits_for=waits_for)


def _ended(job: Job, outcome: str) -> Job:
    return job._replace(place=Place.ENDED, waits_for="", ends=job.ends + 1, outcome=outcome)


def _with(job: Job, node: int, attempt: Attempt | None) -> Job:
    """Returns the state with another attempt of a node. Nodes are alike, so that their order is always the same."""
    nodes = (*job.nodes[:node], attempt, *job.nodes[node + 1 :])
    return job._replace(nodes=tuple(sorted(nodes, key=lambda each: each or ())))


def _send(job: Job, node: int, attempt: Attempt, write: str) -> Job:
    sent = Sent(write, attempt.token, attempt.generation)
    return _with(job, node, attempt._replace(phase="sent"))._replace(sent=job.sent | {sent})


def violation(job: Job) -> str | None:
    """Returns the promise that a state breaks."""
    return next((promise for promise, broken in _promises(job) if broken), None)


def _promises(job: Job) -> Iterator[tuple[str, bool]]:
    yield "a job ends once", job.ends > 1
    yield "an ended job has no hot row", (job.place is Place.ENDED) != (job.ends == 1)
    yield "no write of an earlier attempt is accepted", job.stale
    yield "a step is recorded once", job.steps > 1
    yield "a job has no more attempts than allowed", job.attempts > MAX_ATTEMPTS
    waits = job.place is Place.PARKED and job.waits_for == "signal"
    yield "a signal that has come is not waited for", waits and job.signalled
    yield "a cancel request that was acknowledged wins", job.cancelled and job.outcome not in {"", "cancelled"}
