"""Batch reader: checks a batch in JSON and builds its jobs, with the errors of all its items."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from duly.api.batches.batch_errors import at_index, errors_at, index_of, with_index
from duly.api.jobs.submission_headers import idempotency_key, origin_of
from duly.api.jobs.submission_reader import SubmissionReader, reader_of
from duly.api.server.scope_values import RequestScope, headers_of, node_of
from duly.domain.job import NewBatch, NewJob
from duly.domain.json_reader import JsonRefused
from duly.domain.json_writer import dump_text
from duly.errors import DulyError, Invalid, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.submit.submission_errors import nested_under, path_errors, validation_errors
from duly.lifecycle.submit.submission_model import Submission, SubmissionOrigin
from duly.lifecycle.submit.validate_model import read_model

MOST_JOBS = 10_000  # of one request
MOST_ERRORS = 100  # reported for one batch
# Jobs read at a time, before other requests have their turn.
JOBS_AT_A_TIME = 200


class BatchRequest(BaseModel):
    """Batch of jobs: all are recorded, or none."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    jobs: list[Submission] = Field(min_length=1, max_length=MOST_JOBS)
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    then: Submission | None = Field(
        default=None,
        description="Job to submit once all jobs of the batch have ended, with `batch` added to its parameters.",
    )


class ReadBatch(NamedTuple):
    """Batch that was read: None if it is invalid. `items` are its submissions, or their JSON values; `errors` those
    outside of the items, and of items that cannot be read at all.
    """

    batch: NewBatch | None
    items: Sequence[Any]
    origin: SubmissionOrigin
    errors: Sequence[PathError]


async def read_jobs_of_batch(scope: RequestScope) -> tuple[NewBatch, list[NewJob]]:
    """Builds the batch of a request and its jobs.

    Raises:
        Invalid: all that is wrong with it and with each item; the first 100 errors.
        JsonRefused, DulyError: the request cannot be read.
    """
    reader, read = reader_of(scope), _read_batch(scope)
    jobs: list[NewJob] = []
    errors = list(read.errors)
    known, batch_id = {index_of(error) for error in errors}, read.batch.batch_id if read.batch else None
    for index, item in enumerate(read.items):
        if index not in known:
            try:
                jobs.append(reader.builder.job(_submission(item), read.origin, batch_id=batch_id))
            except (DulyError, ParametersInvalid) as error:
                errors += at_index(index, error)
        if len(errors) >= MOST_ERRORS:
            break
        if index % JOBS_AT_A_TIME == JOBS_AT_A_TIME - 1:
            await asyncio.sleep(0)
    if errors or read.batch is None:
        errors = sorted(errors, key=index_of)[:MOST_ERRORS] or [PathError("", "invalid batch")]
        raise with_index(Invalid.at(errors))
    return read.batch, jobs


def _read_batch(scope: RequestScope) -> ReadBatch:
    reader, origin = reader_of(scope), origin_of(scope)
    try:
        value = cast("Any", reader.json(scope, max_errors=MOST_ERRORS))
    except JsonRefused as refused:
        if not isinstance(refused.value, dict):
            raise
        return _read_in_parts(reader, refused.value, origin, refused.errors)
    try:
        batch = read_model(BatchRequest, value)
    except Invalid:
        if not isinstance(value, dict):
            raise
        return _read_in_parts(reader, value, origin, ())
    then, errors = _then(reader, batch.then, origin)
    batch_id = node_of(scope).clock.ids.new()
    new = NewBatch(origin.tenant_id, batch_id, batch.name, then, idempotency_key(headers_of(scope), value))
    return ReadBatch(new, batch.jobs, origin, errors)


def _read_in_parts(
    reader: SubmissionReader, value: dict[str, Any], origin: SubmissionOrigin, known: Sequence[PathError]
) -> ReadBatch:
    """Reads the parts of an invalid batch one by one, so that no error hides another."""
    if len(known) >= MOST_ERRORS:  # there may be more, in values that cannot be written again
        return ReadBatch(None, (), origin, known)
    errors = [*known, *_errors_around_items(value, known)]
    items = value["jobs"] if not errors_at(errors, "jobs") else ()
    _, refused = _then(reader, value.get("then") if not errors_at(errors, "then") else None, origin)
    return ReadBatch(None, items, origin, [*errors, *refused])


def _submission(item: Any) -> Submission:
    return item if isinstance(item, Submission) else read_model(Submission, item)


def _then(reader: SubmissionReader, item: Any, origin: SubmissionOrigin) -> tuple[str | None, list[PathError]]:
    """Returns the template of the job that follows a batch, or the errors of its submission."""
    if item is None:
        return None, []
    try:
        with nested_under("then"):
            submission = _submission(item)
        return reader.builder.then(submission, origin), []
    except DulyError as error:
        return None, list(path_errors(error))


def _errors_around_items(value: dict[str, Any], known: Sequence[PathError]) -> list[PathError]:
    """Returns the errors of a batch outside of its items and of the job that follows them."""
    around = {name: member for name, member in value.items() if name != "then" and not errors_at(known, name)}
    if isinstance(jobs := around.get("jobs"), list) or errors_at(known, "jobs"):
        around["jobs"] = [{"type": "any"}] * (min(len(jobs), MOST_JOBS + 1) if isinstance(jobs, list) else 1)
    try:
        BatchRequest.model_validate_json(dump_text(around))
    except ValidationError as error:
        return validation_errors(error, BatchRequest)
    return []
