"""Templates of jobs that are made later: repeatedly by a schedule, or once when a batch has ended."""

import json
from collections.abc import Callable, Mapping
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json

from duly.domain.job import NewJob
from duly.domain.json_reader import read_kept
from duly.domain.json_writer import dump_text
from duly.errors import DulyError, InternalError

_NEW_JOB: TypeAdapter[NewJob] = TypeAdapter(NewJob)


def template(job: NewJob) -> str:
    """Returns a job as JSON by member names, so that later releases can read it."""
    return to_json(_named(job)).decode()


def _named(value: object) -> object:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _named(member) for name, member in value._asdict().items() if member is not None}
    return value


def read_template(text: str) -> NewJob:
    """Parses the text that `template` returned."""
    return _NEW_JOB.validate_json(text)


def refusal_text(error: Exception, **more: object) -> str:
    """Returns the error of a templated job that was refused when it was due, as JSON text."""
    known = error if isinstance(error, DulyError) else InternalError("The job could not be recorded.")
    return dump_text(known.content | more)


def with_secret(text: str, change: Callable[[str], str]) -> str:
    """Returns the template with its stored callback secret changed by `change`; the same text if it is unchanged."""
    named = json.loads(text)
    secret = named["callback_secret"]
    changed = change(secret)
    return text if changed == secret else dump_text(named | {"callback_secret": changed})


def then_job(text: str, *, job_id: UUID, batch: Mapping[str, object]) -> NewJob:
    """Returns the `then` job of a batch that has ended; its parameters include the counts of the batch. A unique key,
    which an earlier release allowed, is dropped, because no other job may replace this one.
    """
    job = read_template(text)
    if job.flow is not None and job.flow.unique_key is not None:
        job = job._replace(flow=job.flow._replace(unique_key=None, debounce=None))
    parameters = read_kept(job.parameters)
    assert isinstance(parameters, dict)  # noqa: S101  # checked when the batch was submitted
    return job._replace(job_id=job_id, parameters=dump_text(parameters | {"batch": dict(batch)}))
