"""A job that is kept to be made later: again and again by a schedule, or once when a batch has ended."""

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
    """A job as it is kept to be made again and again: by name, so that one kept by an older version can be read."""
    return to_json(_named(job)).decode()


def _named(value: object) -> object:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _named(member) for name, member in value._asdict().items() if member is not None}
    return value


def read_template(text: str) -> NewJob:
    return _NEW_JOB.validate_json(text)


def refusal_text(error: Exception, **more: object) -> str:
    """Returns the error of a kept job that was refused when it was due, as JSON text."""
    known = error if isinstance(error, DulyError) else InternalError("The job could not be recorded.")
    return dump_text(known.content | more)


def with_secret(text: str, change: Callable[[str], str]) -> str:
    """The template with its callback's secret, as it is stored, changed; the same text where that stays as it is."""
    named = json.loads(text)
    secret = named["callback_secret"]
    changed = change(secret)
    return text if changed == secret else dump_text(named | {"callback_secret": changed})


def then_job(text: str, *, job_id: UUID, batch: Mapping[str, object]) -> NewJob:
    """The job of a template, made now that a batch has ended: its parameters tell what the batch came to. A unique key,
    which an earlier release took, counts no more: no other job may stand for this one.
    """
    job = read_template(text)
    if job.flow is not None and job.flow.unique_key is not None:
        job = job._replace(flow=job.flow._replace(unique_key=None, debounce=None))
    parameters = read_kept(job.parameters)
    assert isinstance(parameters, dict)  # noqa: S101  # checked when the batch was submitted
    return job._replace(job_id=job_id, parameters=dump_text(parameters | {"batch": dict(batch)}))
