"""What a handler asks for when it submits a job: the contract's members, in Python's spelling."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from duly.handlers.exceptions import HandlerError

if TYPE_CHECKING:
    from uuid import UUID

    from duly.handlers.child_jobs import Child


class SubmitOptions(TypedDict, total=False):
    """What a submission may say beside its type and parameters: the members of the HTTP contract, in Python's spelling.
    Times are seconds.
    """

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
    labels: Mapping[str, str]
    callback_url: str | None
    callback_secret: str | None
    callback_events: Sequence[str] | None


class Asked(NamedTuple):
    """One submission. The options are those of `SubmitOptions`."""

    type: str
    parameters: Any
    options: Mapping[str, Any]


def asked_of(type_: str, parameters: Any, options: Mapping[str, Any]) -> Asked:
    """A submission in Python's spelling.

    Raises:
        HandlerError: there is no such option.
    """
    if unknown := options.keys() - SubmitOptions.__annotations__.keys():
        raise HandlerError(f'job.submit("{type_}") has no option {min(unknown)!r}')
    known = dict(options)
    if "depends_on" in known:
        known["depends_on"] = [str(getattr(one, "job_id", one)) for one in known["depends_on"]]
    return Asked(type_, {} if parameters is None else parameters, known)


def each_asked(jobs: Sequence[Mapping[str, Any]]) -> list[Asked]:
    """Many submissions, each a mapping with `type`, `parameters` and options.

    Raises:
        HandlerError: one has no type, or an option that does not exist.
    """
    asked = []
    for place, job in enumerate(jobs):
        options = dict(job)
        type_, parameters = options.pop("type", None), options.pop("parameters", None)
        if not isinstance(type_, str):
            raise HandlerError(f"job.submit_many: jobs[{place}] has no type")
        asked.append(asked_of(type_, parameters, options))
    return asked
