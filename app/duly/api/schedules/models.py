"""Models of schedules, for requests and for the OpenAPI document."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typing_extensions import TypeAliasType

from duly.api.contract.openapi_parts import IdText, TimeText, absent
from duly.api.contract.response_models import DeclaredBy, ErrorContent, Gathered, JobStatus
from duly.domain.names import SCHEDULE_NAME_PATTERN
from duly.lifecycle.submit.submission_model import Submission

ScheduleName = Annotated[str, StringConstraints(pattern=SCHEDULE_NAME_PATTERN)]
CronText = Annotated[
    str,
    StringConstraints(max_length=200),
    Field(description="Minute, hour, day of month, month, day of week. With six fields, the first is the second."),
]
ZoneName = Annotated[
    str, StringConstraints(max_length=64), Field(description="IANA name of the time zone of the cron expression.")
]
OverlapPolicy = TypeAliasType("OverlapPolicy", Literal["allow", "skip"])
CatchUpPolicy = TypeAliasType("CatchUpPolicy", Literal["none", "last", "all"])

_OVERLAP = "`skip`: a due time is skipped while the last job has not ended."
_CATCH_UP = "Due times missed by a minute or more that are run: `none`, the `last` one, or `all`."
_PAUSED = "A paused schedule submits no jobs."


class ScheduleDefinition(BaseModel):
    """Submission that recurs, under the name in the path."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    cron: CronText = Field(examples=["30 6 * * MON-FRI"])
    timezone: ZoneName = Field(default="UTC", examples=["Europe/Berlin"])
    submission: Submission
    overlap: OverlapPolicy = Field(default="allow", description=_OVERLAP)
    catchUp: CatchUpPolicy = Field(default="none", description=_CATCH_UP)
    paused: bool = Field(default=False, description=_PAUSED)


class ScheduleRequest(ScheduleDefinition):
    """Submission that recurs."""

    name: ScheduleName = Field(examples=["nightly-report"])


class ScheduleChange(BaseModel):
    """Changes of a schedule. Omitted members stay as they are; a submission is replaced as a whole."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    cron: CronText = Field(default_factory=absent, examples=["0 */5 * * * ?"])
    timezone: ZoneName = Field(default_factory=absent)
    submission: Submission = Field(default_factory=absent)
    overlap: OverlapPolicy = Field(default_factory=absent, description=_OVERLAP)
    catchUp: CatchUpPolicy = Field(default_factory=absent, description=_CATCH_UP)
    paused: bool = Field(default_factory=absent, description=_PAUSED)


class LastJobBody(BaseModel):
    jobId: IdText
    dueAt: TimeText = Field(examples=["2026-01-27T06:30:00.000Z"])


class LastErrorBody(ErrorContent):
    dueAt: TimeText = Field(examples=["2026-01-27T06:30:00.000Z"])


class ScheduleBody(BaseModel):
    """Current state of a schedule."""

    name: str
    cron: str
    timezone: str
    submission: dict[str, Any] = Field(description="As it was sent, without its `callbackSecret`.")
    overlap: OverlapPolicy
    catchUp: CatchUpPolicy
    paused: bool
    declaredBy: DeclaredBy = Field(description="`handler`: by code of a worker. `client`: over the API.")
    workers: int | None = Field(description="Workers whose code declares it now; null unless declared by code.")
    nextRunAt: TimeText | None = Field(description="Null while the schedule is paused.")
    lastRunAt: TimeText | None = Field(description="Due time of its last job.")
    lastJob: LastJobBody | None
    lastError: LastErrorBody | None = Field(description="Why a later job was refused; null once one is submitted.")
    createdAt: TimeText
    updatedAt: TimeText


class SchedulePage(Gathered):
    items: list[ScheduleBody]
    nextCursor: str | None


class DueTimeBody(BaseModel):
    dueAt: TimeText = Field(examples=["2026-03-30T04:30:00.000Z"])
    localTime: TimeText = Field(
        description="The same time in the schedule's time zone, with its offset.",
        examples=["2026-03-30T06:30:00+02:00"],
    )


class DueTimesBody(BaseModel):
    """Next due times of a schedule."""

    timezone: str = Field(description="IANA name of the time zone of `localTime`.", examples=["Europe/Berlin"])
    paused: bool = Field(description="True: the schedule submits nothing until it is resumed.")
    items: list[DueTimeBody]


class ScheduleRunBody(BaseModel):
    """Due time that was run, or the time of a run by request."""

    dueAt: TimeText = Field(examples=["2026-01-27T05:30:00.000Z"])
    jobId: IdText | None = Field(description="Null if it was skipped because the last job had not ended.")
    status: JobStatus | None = Field(description="Current status of the job; null without a job, or if it was deleted.")
    startedAt: TimeText | None
    completedAt: TimeText | None


class ScheduleRunPage(BaseModel):
    items: list[ScheduleRunBody]
    nextCursor: str | None
