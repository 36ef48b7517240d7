"""Messages of WebSocket clients: one JSON object each, by its `type`."""

import json
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from duly.api.streams.tenant_events import StreamFilter
from duly.domain.json_reader import JsonRefused, read_json
from duly.domain.stream_vector import LONGEST
from duly.errors import BodyTooLarge, Invalid, PathError
from duly.lifecycle.submit.submission_model import Submission
from duly.lifecycle.submit.validate_model import read_model

Ref = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_REF = TypeAdapter(Ref)
Id = Annotated[str, StringConstraints(max_length=64)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    ref: Ref | None = None


class SubmitJob(_Message):
    """Submits a job, and follows it from its first event."""

    type: Literal["submit_job"]
    job: Submission
    idempotencyKey: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | None = None


class _Targeted(_Message):
    jobId: Id | None = None
    filter: StreamFilter | None = None

    @model_validator(mode="after")
    def _one_target(self) -> "_Targeted":
        if (self.jobId is None) == (self.filter is None):
            raise PydanticCustomError("target", "must have either jobId or filter")
        return self


class Subscribe(_Targeted):
    """Follows a job, or all jobs that match a filter. `after` resumes: a job's sequence, or the `id` of a frame."""

    type: Literal["subscribe"]
    after: Annotated[int, Field(ge=-1, lt=1 << 31)] | Annotated[str, StringConstraints(max_length=LONGEST)] | None = (
        None
    )


class Unsubscribe(_Targeted):
    """Ends a subscription to a job or a filter."""

    type: Literal["unsubscribe"]


class CancelJob(_Message):
    """Cancels a job."""

    type: Literal["cancel_job"]
    jobId: Id


class SendSignal(_Message):
    """Sends a signal to a job."""

    type: Literal["send_signal"]
    jobId: Id
    name: Annotated[str, StringConstraints(max_length=200)]
    body: Any = None


class Ping(_Message):
    """Requests a `pong`."""

    type: Literal["ping"]


Message = SubmitJob | Subscribe | Unsubscribe | CancelJob | SendSignal | Ping
_MODELS: dict[str, type[Message]] = {
    "submit_job": SubmitJob,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "cancel_job": CancelJob,
    "send_signal": SendSignal,
    "ping": Ping,
}


class BadMessage(Exception):
    """Invalid message. `ref` is that of the message; None if it cannot be read."""

    def __init__(self, ref: str | None, cause: Exception) -> None:
        super().__init__(str(cause))
        self.ref = ref
        self.cause = cause


def read_message(text: str | None, *, limit: int, max_depth: int) -> tuple[Message, dict[str, object]]:
    """Reads a message. Returns it with its JSON value.

    Raises:
        BadMessage: it is invalid.
    """
    try:
        body = _bounded(text, limit)
        value = read_json(body, max_depth=max_depth)
        return read_model(_model_of(value), value), cast("dict[str, object]", value)
    except (Invalid, BodyTooLarge, JsonRefused) as error:
        raise BadMessage(_ref_of(text or ""), error) from None


def _ref_of(text: str) -> str | None:
    """Returns the `ref` of an invalid message; None if it has no valid one."""
    try:
        value = json.loads(text, parse_int=_no_number, parse_float=_no_number)
        return _REF.validate_python(value["ref"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _no_number(_digits: str) -> None:
    """Ignores a number, which may have more digits than Python reads."""


def _bounded(text: str | None, limit: int) -> bytes:
    if text is None:
        raise Invalid.at([PathError("", "must be a text message")])
    body = text.encode()
    if len(body) > limit:
        raise BodyTooLarge(f"Message too large (limit: {limit:,} bytes).")
    return body


def _model_of(value: object) -> type[Message]:
    if not isinstance(value, dict):
        raise Invalid.at([PathError("", "must be a JSON object")])
    model = _MODELS.get(str(value.get("type")))
    if model is None:
        raise Invalid.at([PathError("type", f"must be one of {', '.join(_MODELS)}")])
    return model
