"""Models of leases: requests of workers over HTTP, and the responses to them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from duly.api.contract.openapi_parts import IdText, TimeText, absent
from duly.api.contract.response_models import ErrorContent, JobBody, JobStatus
from duly.api.jobs.steps import StepBody
from duly.domain.lease_id import LONGEST_ID
from duly.domain.retry import LONGEST_DELAY_SECONDS
from duly.handlers.waits import LONGEST_WAIT_SECONDS as LONGEST_WAIT_FOR_SECONDS
from duly.lifecycle.submit.submission_model import Name, Submission, Time

MOST_NAMES, MOST_JOBS, MOST_LINES, MOST_CHILDREN = 1_000, 500, 1_000, 10_000
LONGEST_WAIT_SECONDS = 60
WorkerName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
LeaseIdText = Annotated[str, StringConstraints(max_length=LONGEST_ID)]
_STRICT = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class LeaseRequest(BaseModel):
    """Claim of jobs by a worker."""

    model_config = _STRICT

    types: list[Name] = Field(
        min_length=1, max_length=MOST_NAMES, description="Job types to claim.", examples=[["thumbnail"]]
    )
    queues: list[Name] | None = Field(
        default=None, min_length=1, max_length=MOST_NAMES, description="Queues to claim from; null for all."
    )
    max: int = Field(default=1, ge=1, le=MOST_JOBS, description="Maximum number of jobs.")
    waitSeconds: float = Field(
        default=0, ge=0, le=LONGEST_WAIT_SECONDS, description="Time to wait for a job if none is ready."
    )
    leaseSeconds: int = Field(
        default=30, ge=5, le=3600, description="Time after which the lease expires unless a heartbeat extends it."
    )
    workerName: WorkerName | None = Field(
        default=None, description="Name of the worker, shown to operators.", examples=["worker-7"]
    )


class WorkerLogLine(BaseModel):
    """Line for the log of the job."""

    model_config = _STRICT

    level: Literal["debug", "info", "warning", "error"] = "info"
    message: str = Field(description="Text; longer ones are truncated to 8,000 characters.")


class HeartbeatRequest(BaseModel):
    """Heartbeat of an attempt. All members are optional."""

    model_config = _STRICT

    progress: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False, description="Progress in percent.")
    message: str | None = Field(default=None, description="Text that belongs to `progress`.")
    checkpoint: Any = Field(
        default=None,
        description="Any JSON value that the next attempt of the job receives; replaces the previous one. Null or "
        "omitted: the checkpoint stays.",
    )
    logs: list[WorkerLogLine] = Field(default_factory=list, max_length=MOST_LINES)


class HeartbeatsRequest(BaseModel):
    """Heartbeats of several attempts."""

    model_config = _STRICT

    leaseIds: list[LeaseIdText] = Field(min_length=1, max_length=MOST_JOBS)


class CompleteRequest(BaseModel):
    """Result of an attempt."""

    model_config = _STRICT

    result: Any = Field(default=None, description="Any JSON value, kept as it is sent.", examples=[{"pages": 3}])


class CompletedLease(CompleteRequest):
    """Result of one of several attempts."""

    leaseId: LeaseIdText


class CompletionsRequest(BaseModel):
    """Results of several attempts, at most one for each lease."""

    model_config = _STRICT

    leases: list[CompletedLease] = Field(min_length=1, max_length=MOST_JOBS)


class WorkerError(BaseModel):
    """Error of an attempt."""

    model_config = _STRICT

    code: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100)] = Field(
        default="TASK_FAILED", description="Error code of your own.", examples=["CUSTOMER_UNKNOWN"]
    )
    message: str = Field(description="One sentence for a person.", examples=["No customer has the number 42."])


class FailRequest(BaseModel):
    """Failure of an attempt."""

    model_config = _STRICT

    error: WorkerError
    retryable: bool = Field(default=True, description="False ends the job, even if attempts are left.")
    retryAfterSeconds: float | None = Field(
        default=None,
        ge=0,
        le=LONGEST_DELAY_SECONDS,
        allow_inf_nan=False,
        description="Delay until the next attempt; null for that of the job type's retry policy.",
    )


class LeaseRelease(BaseModel):
    """Release of a job. It has no members."""

    model_config = _STRICT


class LeaseChildrenRequest(BaseModel):
    """Child jobs of an attempt: all are recorded, or none."""

    model_config = _STRICT

    jobs: list[Submission] = Field(min_length=1, max_length=MOST_CHILDREN)


class Compensation(BaseModel):
    """Job that undoes a step."""

    model_config = _STRICT

    type: Name = Field(examples=["refund"])
    parameters: Any = Field(default=None, description="Its parameters; checked when the step is recorded.")


class LeaseStepRequest(BaseModel):
    """Completed step of an attempt."""

    model_config = _STRICT

    result: Any = Field(default=None, description="Any JSON value of at most 256 KiB.", examples=[{"charge": "ch_42"}])
    compensation: Compensation | None = Field(
        default=None, description="Job that is submitted to undo the step if the job fails for good or is cancelled."
    )


class LeaseParkRequest(BaseModel):
    """Wait of a job for a time or a signal: either `until` or `signal`."""

    model_config = _STRICT

    until: Time | None = Field(default=None, description="Time at which the job runs again.")
    signal: str | None = Field(default=None, description="Name of the signal to wait for.", examples=["approval"])
    timeoutSeconds: float | None = Field(
        default=None,
        ge=0,
        le=LONGEST_WAIT_FOR_SECONDS,
        allow_inf_nan=False,
        description="Time for the signal to arrive, counted from the first wait for it; then the job runs again, and "
        "the signal is `timed_out` in `steps`. Null: no limit.",
    )

    @model_validator(mode="after")
    def _one_wait(self) -> "LeaseParkRequest":
        if (self.until is None) == (self.signal is None):
            raise PydanticCustomError("wait", "must have either until or signal")
        if self.signal is None and self.timeoutSeconds is not None:
            raise PydanticCustomError("wait", "timeoutSeconds belongs to signal, which is missing")
        return self


class LeaseStepBody(BaseModel):
    """Recorded step."""

    jobId: IdText
    name: str


class LeaseBody(BaseModel):
    """Job that is leased to the worker."""

    leaseId: str = Field(description="Names the attempt in later requests. Opaque, at most 512 characters.")
    leaseExpiresAt: TimeText
    job: JobBody
    attempt: int = Field(description="Number of this attempt, from 1.")
    idempotencyToken: str = Field(
        description="For calls to other services: the same in every attempt of the job.",
        examples=["duly-0199c1f0-7d2c-7000-8000-000000000000"],
    )
    checkpoint: Any = Field(description="Newest checkpoint of earlier attempts, or null.")
    steps: list[StepBody] = Field(description="Recorded steps of earlier attempts, timers and signals.")
    traceparent: str | None = Field(
        description="W3C trace context for the attempt, or null.",
        examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
    )


class LeasesBody(BaseModel):
    leases: list[LeaseBody]


class HeartbeatBody(BaseModel):
    """Extended lease."""

    leaseExpiresAt: TimeText
    cancelRequested: bool = Field(
        description="A client has cancelled the job: stop, and report any end. The job ends as cancelled."
    )


class HeartbeatItem(BaseModel):
    """Extended lease, or the error of one that cannot be extended."""

    leaseId: str
    leaseExpiresAt: TimeText = Field(default_factory=absent)
    cancelRequested: bool = Field(default_factory=absent)
    error: ErrorContent = Field(default_factory=absent)


class HeartbeatsBody(BaseModel):
    leases: list[HeartbeatItem] = Field(description="In the order of the request.")


class EndedLeaseBody(BaseModel):
    """Recorded end of an attempt."""

    jobId: IdText
    status: JobStatus = Field(description="Status of the job after it: `pending` if the job runs again.")
    sequence: int = Field(description="Sequence of its event.")


class CompletionItem(BaseModel):
    """Recorded end of an attempt, or the error of one that cannot be recorded."""

    leaseId: str
    jobId: IdText = Field(default_factory=absent)
    status: JobStatus = Field(default_factory=absent)
    sequence: int = Field(default_factory=absent)
    error: ErrorContent = Field(default_factory=absent)


class CompletionsBody(BaseModel):
    leases: list[CompletionItem] = Field(description="In the order of the request.")


class LeaseChildrenBody(BaseModel):
    """Accepted child jobs, in the order of the request."""

    batchId: IdText
    jobIds: list[IdText]
