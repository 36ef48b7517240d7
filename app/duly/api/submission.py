"""A submission as clients write it: its model, its checks, and the job that is made of it."""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Annotated, Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from duly.domain.events import CALLBACK_BITS, DEFAULT_CALLBACK_EVENTS, callback_mask
from duly.domain.ids import new_job_id
from duly.domain.job import DEFAULT_QUEUE, DEFAULT_TENANT, IdempotencyKey, NewJob
from duly.domain.json_value import dump_text, read_json
from duly.domain.networks import Networks, url_refusal
from duly.errors import BodyTooLarge, Invalid, NotSupportedYet, PathError, UnknownJobType, UnsupportedMediaType
from duly.handlers.calling import json_path, read_parameters
from duly.handlers.registry import RegisteredHandler, Registry
from duly.settings import Settings
from duly.webhooks.signature import secret_key

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
LabelValue = Annotated[str, StringConstraints(max_length=256)]
YEAR = 366 * 86400
MOST_JOBS = 10_000  # of one request
MOST_LOOKS = 20  # for the name that was meant, in one answer
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _as_written(text: object) -> object:
    """Pydantic reads more than RFC 3339 as a time: unix seconds as text, for one."""
    if isinstance(text, datetime) or (isinstance(text, str) and _RFC3339.fullmatch(text)):
        return text
    raise PydanticCustomError("time", "must be a time as RFC 3339 writes it, such as 2026-01-27T10:00:00.000Z")


Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_as_written)]

# Members that are part of the contract and come with later versions: refused, never ignored.
NOT_YET = ("expiresInSeconds", "uniqueKey", "concurrencyKey", "dependsOn")


class Submission(BaseModel):
    """A job to be done. Only `type` is required."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    type: Name = Field(description="the job type", examples=["report-generation"])
    parameters: Any = Field(default_factory=dict, description="what the job type's own model says", examples=[{}])
    queue: Name = DEFAULT_QUEUE
    priority: int = Field(default=0, ge=-100, le=100, description="higher runs first")
    runAt: Time | None = Field(default=None, description="not before this time; excludes delaySeconds")
    delaySeconds: float | None = Field(default=None, ge=0, le=YEAR, allow_inf_nan=False)
    timeoutSeconds: float | None = Field(
        default=None, gt=0, le=30 * 86400, allow_inf_nan=False, description="bounds one attempt; the type's own if none"
    )
    maxAttempts: int | None = Field(default=None, ge=1, le=1000, description="the type's own if none")
    expiresInSeconds: Any = Field(default=None, description="not supported yet")
    uniqueKey: Any = Field(default=None, description="not supported yet")
    concurrencyKey: Any = Field(default=None, description="not supported yet")
    dependsOn: Any = Field(default=None, description="not supported yet")
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=64)
    callbackUrl: str | None = Field(default=None, description="called with a signed webhook")
    callbackSecret: str | None = Field(default=None, min_length=1, max_length=512, description="signs the webhooks")
    callbackEvents: list[str] | None = Field(default=None, min_length=1, examples=[list(DEFAULT_CALLBACK_EVENTS)])


_IDEMPOTENCY_KEY = re.compile(r'"([\x21-\x7e]{1,255})"|((?!")[\x21-\x7e]{1,255})')
_CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_JSON_TYPE = re.compile(rb"application/(json|[a-z0-9.+-]+\+json)\s*(;.*)?", re.IGNORECASE)


class Batch(BaseModel):
    """Many jobs at once: all are recorded, or none."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    jobs: list[Submission] = Field(min_length=1, max_length=MOST_JOBS)
    name: Any = Field(default=None, description="not supported yet")
    then: Any = Field(default=None, description="not supported yet")


_VALIDATE = Submission.__pydantic_validator__.validate_json
_VALIDATE_BATCH = Batch.__pydantic_validator__.validate_json


class Origin(NamedTuple):
    """What a request's headers say of its jobs."""

    correlation_id: str | None
    traceparent: str | None
    idempotency: IdempotencyKey | None = None


class SubmissionReader:
    """Turns request bodies into jobs, under this service's settings and types."""

    def __init__(self, settings: Settings, registry: Registry, *, allowed: Networks) -> None:
        self._depth = settings.json_depth
        self._parameters_limit = settings.parameters_limit
        self._registry = registry
        # Callbacks are few and submissions many: reading a URL anew was a twentieth of a job's whole life.
        self._url_refusal = lru_cache(maxsize=1024)(partial(url_refusal, allowed=allowed))

    def read(self, body: bytes, headers: Mapping[bytes, bytes]) -> NewJob:
        """The job that a request asks for.

        Raises:
            JsonRefused, ParametersInvalid, and the 4xx of `duly.errors`, each naming what is wrong.
        """
        value = self._json(body, headers)
        try:
            submission = _VALIDATE(body)
        except ValidationError as error:
            raise Invalid.at(_errors(error, Submission)) from None
        return self.job(submission, _origin(headers)._replace(idempotency=idempotency_key(headers, value)))

    def read_batch(self, body: bytes, headers: Mapping[bytes, bytes]) -> tuple[list[Submission], Origin]:
        """The submissions of a batch, each still to be made a `job`.

        Raises:
            JsonRefused, and the 4xx of `duly.errors`.
        """
        self._json(body, headers)
        try:
            batch = _VALIDATE_BATCH(body)
        except ValidationError as error:
            raise Invalid.at(_errors(error, Batch)) from None
        for member in ("name", "then"):
            if getattr(batch, member) is not None:
                raise NotSupportedYet.of(member)
        if b"idempotency-key" in headers:
            raise NotSupportedYet.of("Idempotency-Key")
        return batch.jobs, _origin(headers)

    def _json(self, body: bytes, headers: Mapping[bytes, bytes]) -> object:
        if not _JSON_TYPE.fullmatch(headers.get(b"content-type", b"")):
            raise UnsupportedMediaType("The body must be JSON.", reason="Send `Content-Type: application/json`.")
        return read_json(body, max_depth=self._depth)

    def job(self, submission: Submission, origin: Origin) -> NewJob:
        """The job that a submission asks for.

        Raises:
            ParametersInvalid, and the 4xx of `duly.errors`.
        """
        handler = self._handler(submission.type)
        _check_together(submission)
        return NewJob(
            tenant_id=DEFAULT_TENANT,
            job_id=new_job_id(),
            type=submission.type,
            queue=submission.queue,
            priority=submission.priority,
            parameters=self._parameters(handler, submission.parameters),
            timeout_seconds=submission.timeoutSeconds or handler.timeout_seconds,
            max_attempts=submission.maxAttempts or handler.max_attempts,
            run_at=submission.runAt,
            delay_seconds=submission.delaySeconds,
            labels=dump_text(submission.labels) if submission.labels else None,
            callback_url=submission.callbackUrl,
            callback_secret=submission.callbackSecret,
            callback_events=self._callback(submission) if submission.callbackUrl is not None else 0,
            correlation_id=origin.correlation_id,
            traceparent=origin.traceparent,
            idempotency=origin.idempotency,
        )

    def _handler(self, name: str) -> RegisteredHandler:
        handler = self._registry.get(name)
        if handler is None:
            near = self._registry.near(name)
            known = f"Known types like it: {', '.join(near)}." if near else "See GET /api/v1/job-types."
            message = f'No job type is called "{name}".'
            errors = [{"path": "type", "message": f"{message} {known}"}]
            raise UnknownJobType(message, reason=known, details={"near": near, "errors": errors})
        return handler

    def _parameters(self, handler: RegisteredHandler, value: Any) -> str:
        text = dump_text(value)
        if len(text.encode()) > self._parameters_limit:
            message = f"The parameters are larger than the {self._parameters_limit:,} bytes that are allowed."
            raise BodyTooLarge(message, details={"errors": [{"path": "parameters", "message": message}]})
        read_parameters(handler, text)
        return text

    def _callback(self, submission: Submission) -> int:
        refused = self._url_refusal(submission.callbackUrl or "")
        if refused:
            raise Invalid.at([PathError("callbackUrl", refused)])
        return callback_mask(submission.callbackEvents or DEFAULT_CALLBACK_EVENTS)


def _errors(error: ValidationError, model: type[BaseModel]) -> list[PathError]:
    """Pydantic's errors; for the first members that do not exist, the nearest that do."""
    found: list[PathError] = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        location, message = problem["loc"], problem["msg"]
        if problem["type"] == "extra_forbidden":
            of = model if len(location) == 1 else Submission
            message = _no_member(str(location[-1]), of, look=len(found) < MOST_LOOKS)
        found.append(PathError(json_path(location), message))
    return found


def _no_member(name: str, model: type[BaseModel], *, look: bool) -> str:
    near = difflib.get_close_matches(name, model.model_fields, n=1) if look else []
    message = f"is no member of a {model.__name__.lower()}"
    return f"{message}; did you mean {near[0]}?" if near else message


def _check_together(submission: Submission) -> None:
    """What single members cannot say."""
    for member in NOT_YET:
        if getattr(submission, member) not in (None, []):
            raise NotSupportedYet.of(member)
    if submission.runAt is not None and submission.delaySeconds is not None:
        raise Invalid.at([PathError("delaySeconds", "excludes runAt: give one of the two")])
    if submission.runAt is not None and not _within_years(submission.runAt):
        raise Invalid.at([PathError("runAt", "lies outside of the years 2000 to 2200")])
    for member in ("callbackSecret", "callbackEvents"):
        if getattr(submission, member) is not None and submission.callbackUrl is None:
            raise Invalid.at([PathError(member, "needs a callbackUrl")])
    _check_callback(submission)


def _check_callback(submission: Submission) -> None:
    for place, event in enumerate(submission.callbackEvents or ()):
        if event not in CALLBACK_BITS:
            raise Invalid.at([PathError(f"callbackEvents[{place}]", f"is none of {', '.join(CALLBACK_BITS)}")])
    if submission.callbackSecret is not None:
        try:
            secret_key(submission.callbackSecret)
        except ValueError:
            raise Invalid.at([PathError("callbackSecret", "begins with whsec_ but is not base64 after it")]) from None


def _within_years(moment: datetime) -> bool:
    return 2000 <= moment.year < 2200  # noqa: PLR2004  # what Postgres and UUIDv7 hold with ease


def _origin(headers: Mapping[bytes, bytes]) -> Origin:
    return Origin(correlation_id(headers), _traceparent(headers))


def idempotency_key(headers: Mapping[bytes, bytes], value: object) -> IdempotencyKey | None:
    """The client's key, bare or in quotes, with a digest of what it asks for."""
    given = headers.get(b"idempotency-key")
    if given is None:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(given.decode("latin-1").strip())
    if match is None:
        raise Invalid.at([PathError("Idempotency-Key", "must be 1 to 255 visible ASCII characters")])
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return IdempotencyKey(match[1] or match[2], hashlib.sha256(canonical).digest())


def correlation_id(headers: Mapping[bytes, bytes]) -> str | None:
    given = headers.get(b"x-correlation-id")
    if given is None:
        return None
    text = given.decode("latin-1").strip()
    if not _CORRELATION_ID.fullmatch(text):
        raise Invalid.at([PathError("X-Correlation-Id", "must be 1 to 200 visible ASCII characters")])
    return text


def _traceparent(headers: Mapping[bytes, bytes]) -> str | None:
    """A malformed one is dropped, as W3C Trace Context (section 3.2.2.3) asks."""
    given = headers.get(b"traceparent")
    text = given.decode("latin-1").strip() if given else ""
    return text if _TRACEPARENT.fullmatch(text) else None
