"""What a client says over a WebSocket: one JSON object a message, its `type` says which."""

import json
from typing import Annotated, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from duly.api.streams.tenant_events import StreamFilter
from duly.domain.json_reader import JsonRefused, read_json
from duly.errors import BodyTooLarge, Invalid, PathError
from duly.lifecycle.submit.submission_errors import validation_errors
from duly.lifecycle.submit.submission_model import Submission

Ref = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_REF = TypeAdapter(Ref)
Id = Annotated[str, StringConstraints(max_length=64)]
Model = TypeVar("Model", bound=BaseModel)


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    ref: Ref | None = None


class SubmitJob(_Message):
    """Records a job, and follows it from its beginning."""

    type: Literal["submit_job"]
    job: Submission
    idempotencyKey: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | None = None


class _OfOneOrMany(_Message):
    jobId: Id | None = None
    filter: StreamFilter | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "_OfOneOrMany":
        if (self.jobId is None) == (self.filter is None):
            raise PydanticCustomError("target", "names either a jobId or a filter")
        return self


class Subscribe(_OfOneOrMany):
    """Follows a job, or all that fit a filter. `after` resumes: a job's sequence, or the `id` of a frame."""

    type: Literal["subscribe"]
    after: Annotated[int, Field(ge=-1, lt=1 << 31)] | Annotated[str, StringConstraints(max_length=200)] | None = None


class Unsubscribe(_OfOneOrMany):
    type: Literal["unsubscribe"]


class CancelJob(_Message):
    type: Literal["cancel_job"]
    jobId: Id


class Ping(_Message):
    type: Literal["ping"]


Message = SubmitJob | Subscribe | Unsubscribe | CancelJob | Ping
_MODELS: dict[str, type[Message]] = {
    "submit_job": SubmitJob,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "cancel_job": CancelJob,
    "ping": Ping,
}


class BadMessage(Exception):
    """A message that is not understood. `ref` is its own, where that can be read and repeated."""

    def __init__(self, ref: str | None, cause: Exception) -> None:
        super().__init__(str(cause))
        self.ref = ref
        self.cause = cause


def read_message(text: str | None, *, limit: int, max_depth: int) -> tuple[Message, dict[str, object]]:
    """The message, and its JSON value.

    Raises:
        BadMessage: it is none.
    """
    try:
        body = _bounded(text, limit)
        value = read_json(body, max_depth=max_depth)
        return _validated(_model_of(value), body), cast("dict[str, object]", value)
    except (Invalid, BodyTooLarge, JsonRefused) as error:
        raise BadMessage(_ref_of(text or ""), error) from None


def _ref_of(text: str) -> str | None:
    """Returns the `ref` of a message that holds something else that cannot be kept; None where it has no good one."""
    try:
        value = json.loads(text, parse_int=_no_number, parse_float=_no_number)
        return _REF.validate_python(value["ref"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _no_number(_digits: str) -> None:
    """Reads none: one may have more digits than Python takes."""


def _bounded(text: str | None, limit: int) -> bytes:
    if text is None:
        raise Invalid.at([PathError("", "A message is text.")])
    body = text.encode()
    if len(body) > limit:
        raise BodyTooLarge(f"The message is larger than the {limit:,} bytes that are allowed.")
    return body


def _model_of(value: object) -> type[Message]:
    if not isinstance(value, dict):
        raise Invalid.at([PathError("", "A message is a JSON object.")])
    model = _MODELS.get(str(value.get("type")))
    if model is None:
        raise Invalid.at([PathError("type", f"must be one of {', '.join(_MODELS)}")])
    return model


def _validated(model: type[Model], body: bytes) -> Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Invalid.at(validation_errors(error, model)) from None
