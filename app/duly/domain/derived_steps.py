"""Steps, waits and signals of a job, derived from its events alone."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from duly.domain.events import EventKind
from duly.domain.steps import StepKind, StepStatus

# Events that change steps, waits or signals; a requeue does so where it names forgotten steps.
KINDS_OF_STEPS = (
    EventKind.STEP_COMPLETED,
    EventKind.STEP_COMPENSATED,
    EventKind.PARKED,
    EventKind.RESUMED,
    EventKind.SIGNALLED,
    EventKind.REQUEUED,
)


class StepState(NamedTuple):
    """Row of a step or a wait: the event that it refers to, its state, and the time of a wait as the API writes it."""

    sequence: int
    status: StepStatus
    compensable: bool = False
    until: str | None = None


Rows = dict[tuple[StepKind, str], StepState]


class StepsOfJob(NamedTuple):
    """Rows of a job in `steps`, and its signals with the sequence of their events."""

    rows: Rows
    signals: dict[str, int]


def derive_steps(events: Iterable[tuple[int, int, Mapping[str, Any]]]) -> StepsOfJob:
    """Returns the rows that these events give: (sequence, kind, data), in order, without results and bodies."""
    derived = StepsOfJob({}, {})
    for sequence, kind, data in events:
        _add(derived, sequence, EventKind(kind), data)
    return derived


def _add(derived: StepsOfJob, sequence: int, kind: EventKind, data: Mapping[str, Any]) -> None:
    rows = derived.rows
    match kind:
        case EventKind.STEP_COMPLETED:
            compensable = data.get("compensation") is not None
            rows[StepKind.STEP, data["step"]] = StepState(sequence, StepStatus.COMPLETED, compensable)
        case EventKind.STEP_COMPENSATED:
            _change(rows, (StepKind.STEP, data["step"]), status=StepStatus.COMPENSATED)
        case EventKind.PARKED | EventKind.RESUMED:
            _wait(rows, sequence, data)
        case EventKind.SIGNALLED:
            derived.signals.setdefault(data["signal"], sequence)
            _end(rows, (StepKind.SIGNAL, data["signal"]), sequence, StepStatus.COMPLETED)
        case EventKind.REQUEUED if data.get("forgotten") is not None:
            _forget(rows, data.get("fromStep"))
        case _:
            pass


def _wait(rows: Rows, sequence: int, data: Mapping[str, Any]) -> None:
    """Adds the waits for which a job parked the first time, and ends those whose time has come."""
    for wait in data.get("waits") or ():
        kind = StepKind.SIGNAL if wait["kind"] == "signal" else StepKind.TIMER
        rows.setdefault((kind, wait["name"]), StepState(sequence, StepStatus.WAITING, until=wait.get("until")))
    if data.get("reason") in {"timer", "timeout"}:
        for name in data.get("timers") or ():
            _end(rows, (StepKind.TIMER, name), sequence, StepStatus.COMPLETED)
        for name in data.get("signals") or ():
            _end(rows, (StepKind.SIGNAL, name), sequence, StepStatus.TIMED_OUT)


def _end(rows: Rows, key: tuple[StepKind, str], sequence: int, status: StepStatus) -> None:
    if key in rows and rows[key].status is StepStatus.WAITING:
        _change(rows, key, sequence=sequence, status=status)


def _change(rows: Rows, key: tuple[StepKind, str], **values: Any) -> None:
    if key in rows:
        rows[key] = rows[key]._replace(**values)


def _forget(rows: Rows, from_step: str | None) -> None:
    """Removes compensated steps, and this step with all that are later."""
    first = rows.get((StepKind.STEP, from_step)) if from_step is not None else None
    for key, row in list(rows.items()):
        if row.status is StepStatus.COMPENSATED or (first is not None and row.sequence >= first.sequence):
            del rows[key]


def step_differences(expected: StepsOfJob, actual: StepsOfJob) -> list[str]:
    """Returns what is wrong with the rows of a job, in sentences. Times are not compared."""
    found = []
    for key in sorted(expected.rows.keys() | actual.rows.keys()):
        kind, name = key
        what = f"{'wait' if kind is not StepKind.STEP else 'step'} {name!r}"
        want, have = expected.rows.get(key), actual.rows.get(key)
        if want is None:
            found.append(f"has a row of the {what}, which its events do not have")
        elif have is None:
            found.append(f"has no row of the {what}")
        elif want[:3] != have[:3]:
            found.append(f"{what} is {want[:3]} by its events, but {have[:3]} in steps")
    if expected.signals != actual.signals:
        found.append(f"its signals are {expected.signals} by its events, but {actual.signals} in signals")
    return found
