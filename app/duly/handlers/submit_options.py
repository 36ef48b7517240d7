"""Options of a child job: the members of the HTTP contract in snake_case."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from duly.handlers.exceptions import HandlerError

if TYPE_CHECKING:
    from uuid import UUID

    from duly.handlers.child_jobs import Child


class SubmitOptions(TypedDict, total=False):
    """Options of a submission beside its type and parameters. Times are in seconds."""

    queue: str
    priority: int
    run_at: datetime | str | None
    delay_seconds: float | None
    timeout_seconds: float | None
    max_attempts: int | None
    expires_in_seconds: float | None
    unique_key: str | None
    debounce_seconds: float | None
    debounce_max_seconds: float | None
    concurrency_key: str | None
    depends_on: "Sequence[UUID | str | Child]"
    on_dependency_failure: Literal["fail", "run"]
    on_exhausted: Literal["fail", "hold"] | None
    labels: Mapping[str, str]
    callback_url: str | None
    callback_secret: str | None
    callback_events: Sequence[str] | None


class ChildRequest(NamedTuple):
    """Request for a child job, with the options of `SubmitOptions`."""

    type: str
    parameters: Any
    options: Mapping[str, Any]


def child_request(type_: str, parameters: Any, options: Mapping[str, Any], *, what: str | None = None) -> ChildRequest:
    """Returns the submission of a child job. `what` names the call in errors; None: `job.submit`.

    Raises:
        HandlerError: an option is unknown.
    """
    if unknown := options.keys() - SubmitOptions.__annotations__.keys():
        call = what or f'job.submit("{type_}")'
        raise HandlerError(f"{call} has no option {min(unknown)!r}")
    known = dict(options)
    if "depends_on" in known:
        known["depends_on"] = [str(getattr(one, "job_id", one)) for one in known["depends_on"]]
    return ChildRequest(type_, {} if parameters is None else parameters, known)


def child_requests(jobs: Sequence[Mapping[str, Any]]) -> list[ChildRequest]:
    """Returns the submissions of mappings with `type`, `parameters` and options.

    Raises:
        HandlerError: a mapping has no type, or an unknown option.
    """
    submissions = []
    for index, job in enumerate(jobs):
        options = dict(job)
        type_, parameters = options.pop("type", None), options.pop("parameters", None)
        if not isinstance(type_, str):
            raise HandlerError(f"job.submit_many: jobs[{index}] has no type")
        submissions.append(child_request(type_, parameters, options))
    return submissions
