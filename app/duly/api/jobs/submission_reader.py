"""A submission as clients write it: a request's body and headers, checked, and made a job."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from duly.api.contract.batch_errors import errors_at, errors_of
from duly.domain.database_clock import DatabaseClock
from duly.domain.egress_policy import EgressPolicy
from duly.domain.job import DEFAULT_TENANT, IdempotencyKey, NewBatch, NewJob
from duly.domain.json_reader import MAX_ERRORS, JsonRefused, read_json
from duly.domain.json_writer import canonical, dump_text
from duly.domain.sealing import Keyring
from duly.errors import DulyError, Invalid, PathError, UnsupportedMediaType
from duly.handlers.registry import Registry
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.lifecycle.submit.submission_errors import nested_under, validation_errors
from duly.lifecycle.submit.submission_model import Submission, SubmissionOrigin, with_exact_parameters
from duly.settings import Settings

Body = TypeVar("Body", bound=BaseModel)
MOST_JOBS = 10_000  # of one request
_IDEMPOTENCY_KEY = re.compile(r'"([\x21-\x7e]{1,255})"|((?!")[\x21-\x7e]{1,255})')
_CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_JSON_TYPE = re.compile(rb"application/(json|[a-z0-9.+-]+\+json)\s*(;.*)?", re.IGNORECASE)


class Batch(BaseModel):
    """Many jobs at once: all are recorded, or none."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    jobs: list[Submission] = Field(min_length=1, max_length=MOST_JOBS)
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    then: Submission | None = Field(
        default=None, description="submitted once the last of the jobs has ended, with `batch` in its parameters"
    )


MOST_ERRORS = 100  # that are named of one batch
_VALIDATE = Submission.__pydantic_validator__.validate_json
_VALIDATE_BATCH = Batch.__pydantic_validator__.validate_json


class SubmissionReader:
    """Turns request bodies into jobs, under this service's settings and types."""

    def __init__(
        self, settings: Settings, registry: Registry, *, reach: EgressPolicy, keyring: Keyring, clock: DatabaseClock
    ) -> None:
        self._clock = clock
        self._depth = settings.json_depth
        self.maker = JobBuilder(
            registry, parameters_limit=settings.parameters_limit, reach=reach, keyring=keyring, clock=clock
        )

    def read(self, body: bytes, headers: Mapping[bytes, bytes]) -> NewJob:
        """The job that a request asks for.

        Raises:
            JsonRefused, ParametersInvalid, and the 4xx of `duly.errors`, each naming what is wrong.
        """
        value = self._json(body, headers)
        origin = SubmissionOrigin(correlation_id(headers), _traceparent(headers), idempotency_key(headers, value))
        return self.job(_submission(body, value), origin)

    def read_named(self, job_id: UUID, body: bytes, headers: Mapping[bytes, bytes]) -> NewJob:
        """The job that a request asks for under an id of the client's.

        Raises: as `read`.
        """
        value = self._json(body, headers)
        origin = origin_of(headers)._replace(
            idempotency=idempotency_key(headers, [str(job_id), value]), digest=digest_of(value)
        )
        return self.job(_submission(body, value), origin, job_id=job_id)

    def read_line(self, line: bytes, origin: SubmissionOrigin) -> tuple[NewJob, object]:
        """The job that one line of many asks for, and the line's JSON value.

        Raises: as `read`.
        """
        value = read_json(line, max_depth=self._depth)
        return self.job(_submission(line, value), origin), value

    def read_batch(self, body: bytes, headers: Mapping[bytes, bytes]) -> "ReadBatch":
        """A batch, and its items, each still to be made a job by `item`.

        Raises:
            JsonRefused, and the 4xx of `duly.errors`: nothing of it can be read.
        """
        origin, value = origin_of(headers), None
        try:
            value = cast("Any", self._json(body, headers, max_errors=MOST_ERRORS))
            batch = _VALIDATE_BATCH(body)
        except JsonRefused as refused:
            if not isinstance(refused.value, dict):
                raise
            return self._in_parts(refused.value, origin, refused.errors)
        except ValidationError as error:
            if not isinstance(value, dict):
                raise Invalid.at(validation_errors(error, Batch)) from None
            return self._in_parts(value, origin, ())
        given = with_exact_parameters(batch.then, value["then"]) if batch.then is not None else None
        then, errors = self._then(given, origin)
        new = NewBatch(DEFAULT_TENANT, self._clock.ids.new(), batch.name, then, idempotency_key(headers, value))
        items = [with_exact_parameters(job, one) for job, one in zip(batch.jobs, value["jobs"], strict=True)]
        return ReadBatch(new, items, origin, errors)

    def _in_parts(self, value: dict[str, Any], origin: SubmissionOrigin, known: Sequence[PathError]) -> "ReadBatch":
        """A batch that is none as a whole: each part is read by itself, so that no fault hides another."""
        if len(known) >= MOST_ERRORS:  # and there may be more that cannot be written again
            return ReadBatch(None, (), origin, known)
        errors = [*known, *_around_items(value, known)]
        items = value["jobs"] if not errors_at(errors, "jobs") else ()
        _, refused = self._then(value.get("then") if not errors_at(errors, "then") else None, origin)
        return ReadBatch(None, items, origin, [*errors, *refused])

    def item(self, item: Any, origin: SubmissionOrigin, *, batch_id: UUID | None) -> NewJob:
        """The job of one item of a batch: a submission that was read, or a value of which nothing is known.

        Raises: as `read`.
        """
        submission = item if isinstance(item, Submission) else _submission(dump_text(item).encode(), item)
        return self.job(submission, origin, batch_id=batch_id)

    def _then(self, given: Any, origin: SubmissionOrigin) -> tuple[str | None, list[PathError]]:
        """The job that follows a batch, or what is wrong with it."""
        if given is None:
            return None, []
        try:
            with nested_under("then"):
                submission = given if isinstance(given, Submission) else _submission(dump_text(given).encode(), given)
            return self.maker.then(submission, origin), []
        except DulyError as error:
            return None, errors_of(error)

    def read_as(self, model: type[Body], body: bytes, headers: Mapping[bytes, bytes]) -> Body:
        """A body of another model, whose submissions are still to be made a `job`.

        Raises:
            JsonRefused, and the 4xx of `duly.errors`.
        """
        value = self._json(body, headers)
        try:
            read = model.model_validate_json(body)
        except ValidationError as error:
            raise Invalid.at(validation_errors(error, model)) from None
        for name in read.model_fields_set:
            if isinstance(member := getattr(read, name), Submission):
                with_exact_parameters(member, cast("dict[str, Any]", value)[name])
        return read

    def job(
        self,
        submission: Submission,
        origin: SubmissionOrigin,
        *,
        job_id: UUID | None = None,
        batch_id: UUID | None = None,
        checked: bool = False,
    ) -> NewJob:
        """See `JobBuilder`."""
        return self.maker.job(submission, origin, job_id=job_id, batch_id=batch_id, checked=checked)

    def _json(self, body: bytes, headers: Mapping[bytes, bytes], *, max_errors: int = MAX_ERRORS) -> object:
        if not _JSON_TYPE.fullmatch(headers.get(b"content-type", b"")):
            raise UnsupportedMediaType("The body must be JSON.", reason="Send `Content-Type: application/json`.")
        return read_json(body, max_depth=self._depth, max_errors=max_errors)


class ReadBatch(NamedTuple):
    """A batch that was read, None where it is none; its items; and what is wrong beside them, or with those that cannot
    be read at all.
    """

    batch: NewBatch | None
    items: Sequence[Any]
    origin: SubmissionOrigin
    errors: Sequence[PathError]


def _around_items(value: dict[str, Any], known: Sequence[PathError]) -> list[PathError]:
    """Returns the errors of a batch beside those of its items and of the job that follows them."""
    around = {name: member for name, member in value.items() if name != "then" and not errors_at(known, name)}
    if isinstance(jobs := around.get("jobs"), list) or errors_at(known, "jobs"):
        around["jobs"] = [{"type": "any"}] * (min(len(jobs), MOST_JOBS + 1) if isinstance(jobs, list) else 1)
    try:
        _VALIDATE_BATCH(dump_text(around))
    except ValidationError as error:
        return validation_errors(error, Batch)
    return []


def _submission(body: bytes, value: Any) -> Submission:
    try:
        submission: Submission = _VALIDATE(body)
    except ValidationError as error:
        raise Invalid.at(validation_errors(error, Submission)) from None
    return with_exact_parameters(submission, value)


def origin_of(headers: Mapping[bytes, bytes]) -> SubmissionOrigin:
    """What a request's headers say of all its jobs."""
    return SubmissionOrigin(correlation_id(headers), _traceparent(headers))


def idempotency_key(headers: Mapping[bytes, bytes], value: object) -> IdempotencyKey | None:
    """The client's key, with a digest of what it asks for."""
    key = key_text(headers)
    return IdempotencyKey(key, digest_of(value)) if key is not None else None


def digest_of(value: object) -> bytes:
    """The same for the same JSON value, however it was written."""
    return hashlib.sha256(canonical(value)).digest()


def key_text(headers: Mapping[bytes, bytes]) -> str | None:
    """The client's idempotency key, which comes bare or in quotes."""
    given = headers.get(b"idempotency-key")
    if given is None:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(given.decode("latin-1").strip())
    if match is None:
        raise Invalid.at([PathError("Idempotency-Key", "must be 1 to 255 visible ASCII characters")])
    return match[1] or match[2]


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
