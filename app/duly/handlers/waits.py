"""Durations of waits, and the bodies of signals."""

import json
import math
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from duly.domain.steps import StepStatus
from duly.handlers.exceptions import Fail, HandlerError, SignalTimedOut
from duly.handlers.serialization import path_errors
from duly.handlers.step_backend import WaitEnd

# The database adds durations to its clock: the bound keeps the result in the range of its timestamps.
LONGEST_WAIT_SECONDS = 10 * 365 * 86_400.0


def seconds_of(what: str, duration: timedelta | float) -> float:
    """Returns a duration in seconds.

    Raises:
        HandlerError: it is not a timedelta or a number from 0 to ten years.
    """
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        seconds = float(duration)
    else:
        raise HandlerError(f"{what}={duration!r}: must be a timedelta or a number of seconds")
    if math.isnan(seconds) or not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise HandlerError(f"{what}={duration!r}: must be between 0 and {LONGEST_WAIT_SECONDS:.0f} seconds (ten years)")
    return seconds


def signal_body(name: str, model: Any, end: WaitEnd) -> Any:
    """Returns the body of a signal, as an instance of the model if there is one.

    Raises:
        SignalTimedOut: the wait timed out.
        Fail: the body does not fit the model; a retry would not change it.
    """
    if end.status is StepStatus.TIMED_OUT:
        raise SignalTimedOut(name)
    text = end.body or "null"
    if model is None:
        return json.loads(text)
    try:
        return TypeAdapter(model).validate_json(text)
    except ValidationError as error:
        places = "; ".join(f"{each.path}: {each.message}" for each in path_errors(error, root="body"))
        raise Fail(f'signal "{name}" does not fit the model of its wait: {places}', code="SIGNAL_INVALID") from None
