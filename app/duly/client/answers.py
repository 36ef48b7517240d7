"""Types of what the service returns: dictionaries with the members of the HTTP API.

A later release may return more members and more values of a literal; they are kept.
Written by `python -m tests.client_answers`.
"""

from typing import Any, Generic, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict, TypeVar

ResultT = TypeVar("ResultT", default=Any)

JobStatus: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled"]


class Links(TypedDict):
    self: str
    events: str
    stream: str
    cancel: str


class Accepted(TypedDict):
    """Accepted job: it is durable, and runs as soon as possible."""

    jobId: str
    status: JobStatus
    """`pending`; with `deduplicated`, the status of the existing job."""
    createdAt: str
    links: Links
    deduplicated: NotRequired[bool]
    """`true`: an unfinished job with the same type and `uniqueKey` was returned."""


class AcceptedBatch(TypedDict):
    """Accepted batch: all its jobs are durable. The ids are in the order of the submissions."""

    batchId: str
    jobIds: list[str]
    status: Literal["pending"]
    createdAt: str


WaitingFor: TypeAlias = Literal[
    "worker", "time", "retry", "dependencies", "concurrency", "paused", "timer", "signal", "held"
]


class JobErrorFrame(TypedDict):
    file: str
    line: int
    function: str


class JobErrorDetails(TypedDict):
    reason: str
    retryable: bool
    """True if a retry follows."""
    attempt: int | None
    exception: NotRequired[str]
    """Type of the exception that the handler raised."""
    frames: NotRequired[list[JobErrorFrame]]
    """Frames of the handler's code, innermost last, at most ten."""


class JobError(TypedDict):
    code: str
    message: str | None
    """Null without the scope `jobs:payload`."""
    details: JobErrorDetails | None
    """Null without the scope `jobs:payload`."""


class Job(TypedDict, Generic[ResultT]):
    """Current state of a job."""

    jobId: str
    type: str
    queue: str
    priority: int
    status: JobStatus
    sequence: int
    """Sequence of its newest event; also its ETag."""
    waitingFor: WaitingFor | None
    progress: float | None
    progressMessage: str | None
    attempt: int
    maxAttempts: int
    parameters: Any
    result: ResultT | None
    error: JobError | None
    labels: dict[str, str]
    batchId: str | None
    parentId: str | None
    dependsOn: list[str]
    correlationId: str
    createdAt: str
    runAt: str | None
    startedAt: str | None
    completedAt: str | None
    compensating: NotRequired[bool]
    """Present while its completed steps are compensated, before it ends."""


class PathError(TypedDict):
    path: str
    message: str
    index: NotRequired[int]
    """Index of the job in a batch, from 0."""


class ErrorDetails(TypedDict):
    reason: str
    retryable: bool
    errors: NotRequired[list[PathError]]
    """Errors by path; with 422."""
    remedy: NotRequired[str]
    """Remedy for the operator; with 503."""
    scope: NotRequired[str]
    """Scope that the API key lacks; with `SCOPE_MISSING`."""
    jobs: NotRequired[int]
    """Jobs that stand against the change of a job type; with 409."""
    examined: NotRequired[int]
    """Waiting jobs that were compared with a schema."""


class BatchError(TypedDict):
    code: str
    message: str | None
    """Null without the scope `jobs:payload`."""
    details: ErrorDetails | None
    """Null without the scope `jobs:payload`."""


class Batch(TypedDict):
    """Current state of a batch. It is pending until its first job starts or ends, then running until its last job has ended; then failed if any job failed, else cancelled if any was cancelled, else completed."""

    batchId: str
    name: str | None
    status: JobStatus
    total: int
    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int
    thenJobId: str | None
    """Job that was submitted once all jobs had ended."""
    thenError: BatchError | None
    """Why that job was refused when it was due."""
    createdAt: str
    completedAt: str | None
    """Time at which the last job had ended and was counted."""


class Cancelled(TypedDict):
    cancelled: int
    """Number of jobs that were cancelled, or whose handler is asked to stop."""


class Retried(TypedDict):
    retried: int
    """Number of jobs that run again."""


WhyCause: TypeAlias = Literal[
    "ENDED",
    "RUNNING",
    "SET_ASIDE",
    "CANCEL_REQUESTED",
    "SCHEDULED",
    "RETRY",
    "TIMER",
    "SIGNAL",
    "HELD",
    "COMPENSATING",
    "DEPENDENCIES",
    "CONCURRENCY_KEY",
    "EXPIRED",
    "QUEUE_PAUSED",
    "NO_WORKER",
    "CIRCUIT_OPEN",
    "CONCURRENCY_LIMIT",
    "RATE_LIMIT",
    "BUSY",
    "NEXT",
    "INBOX",
]


class Why(TypedDict):
    """Explanation of a job's state."""

    jobId: str
    status: JobStatus
    waitingFor: WaitingFor | None
    cause: WhyCause
    message: str
    data: dict[str, Any]
    """Figures of the message; the members depend on the cause."""


class EventMetadata(TypedDict):
    correlationId: str
    causationId: str | None
    source: str
    traceparent: str | None


class Event(TypedDict):
    """Event of a job."""

    eventId: str
    eventType: str
    eventVersion: Literal["1.0"]
    occurredAt: str
    aggregateId: str
    aggregateType: Literal["Job"]
    sequence: int
    data: dict[str, Any]
    metadata: EventMetadata


LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


class LogLine(TypedDict):
    """One call of `job.log`."""

    attempt: int
    line: int
    """Number of the line within its attempt, from 1. A gap means that lines were dropped."""
    level: LogLevel
    message: str | None
    """Null without the scope `jobs:payload`."""
    fields: dict[str, Any] | None
    """Null without the scope `jobs:payload`."""
    at: str


class Ticket(TypedDict):
    ticket: str
    """Opens one stream or socket, as `?ticket=`."""
    expiresAt: str


class Signal(TypedDict):
    """Recorded signal."""

    jobId: str
    name: str
    sequence: int
    """Sequence of its event."""
    sentAt: str
    """Time at which it was recorded."""


StepKindName: TypeAlias = Literal["step", "timer", "signal"]


StepStatusName: TypeAlias = Literal["waiting", "completed", "timed_out", "compensated"]


class Step(TypedDict):
    """Recorded step, timer or signal of a job."""

    name: str
    kind: StepKindName
    status: StepStatusName
    """`waiting`: the time has not come, or the signal has not arrived; `timed_out`: no signal arrived in time; `compensated`: the step was undone."""
    attempts: int | None
    """Number of tries of a step; null for timers and signals."""
    startedAt: str | None
    """Start of a step."""
    completedAt: str | None
    """Time at which it was recorded; null while it waits."""
    until: str | None
    """Time of a timer, or until which a signal is waited for."""
    compensable: bool
    """True if the step has a compensation."""
    result: Any
    """Result of a step, or body of a signal. Null without the scope `jobs:payload`."""


class RateLimit(TypedDict):
    """`count` starts per `seconds`. A token bucket: unused starts are saved for a burst, at most `count`."""

    count: int
    seconds: float


class StartLimits(TypedDict):
    """Jobs running at once and jobs started per time, over all nodes. Null means no limit."""

    concurrency: NotRequired[int | None]
    rate: NotRequired[RateLimit | None]


class Queue(TypedDict):
    """Current state of a queue. A queue exists from its first job on."""

    incomplete: NotRequired[bool]
    """`true`: cells are away, and what they have is missing. Else absent."""
    cellsAway: NotRequired[list[int]]
    """Numbers of the cells that are away."""
    queue: str
    depth: int
    """Jobs ready to start. Estimated above some thousand."""
    scheduled: int
    """Jobs waiting for a time: a later start or the next attempt."""
    parked: int
    """Jobs whose handler waits for a timer, a signal or child jobs, without a slot."""
    held: int
    """Jobs whose attempts are used up, held for a retry by hand."""
    blocked: int
    """Jobs waiting for others: dependencies, or jobs with the same concurrency key."""
    running: int
    oldestAgeSeconds: float | None
    """Waiting time of the oldest job that is ready to start."""
    inPerSecond: float
    """Jobs submitted, averaged over the last minute."""
    outPerSecond: float
    """Jobs ended, averaged over the last minute."""
    paused: bool
    pausedAt: str | None
    limits: StartLimits


class SubmissionLimits(TypedDict):
    """Limits on submitting, over all nodes. Null means no limit."""

    rate: NotRequired[RateLimit | None]
    """Jobs that may be submitted in a period."""
    backlog: NotRequired[int | None]
    """Jobs that may wait in each queue."""
    backlogs: NotRequired[dict[str, int]]
    """Jobs that may wait in the queue of this name."""


RetryShape: TypeAlias = Literal["fixed", "linear", "exponential"]


class Retry(TypedDict):
    """Delay between attempts."""

    shape: RetryShape
    firstSeconds: float
    capSeconds: float
    factor: float
    jitter: float


OnExhausted: TypeAlias = Literal["fail", "hold"]


class JobTypeDefaults(TypedDict):
    timeoutSeconds: float
    maxAttempts: int
    retry: Retry
    queue: str | None
    """Queue of submissions that name none; null: `default`."""
    onExhausted: OnExhausted
    """Effect once the attempts of a job are used up."""


DeclaredBy: TypeAlias = Literal["handler", "client"]


Isolation: TypeAlias = Literal["task", "thread", "process"]


class JobTypeBatch(TypedDict):
    size: int
    lingerSeconds: float


class ObservedTimes(TypedDict):
    """Run times of the newest completed jobs of a type, at most 1,000."""

    count: int
    p50Seconds: float
    p99Seconds: float
    suggestedTimeoutSeconds: int
    """Twice the P99, rounded up to a round figure."""


class JobTypeBreaker(TypedDict):
    """Circuit breaker of a job type. Open: its jobs do not start. Half-open: one at a time does."""

    state: Literal["closed", "open", "half-open"]
    failures: int
    """Consecutive failed attempts with the same error code."""
    code: str | None
    """Error code of these attempts; null without any."""
    openUntil: str | None
    """Time at which the next job may start; null unless open."""


class JobType(TypedDict):
    incomplete: NotRequired[bool]
    """`true`: cells are away, and what they have is missing. Else absent."""
    cellsAway: NotRequired[list[int]]
    """Numbers of the cells that are away."""
    type: str
    description: str
    parametersSchema: dict[str, Any]
    resultSchema: dict[str, Any]
    defaults: JobTypeDefaults
    declaredBy: DeclaredBy
    """`handler`: by Python handlers. `client`: by `PUT` on this address."""
    declaredAt: str | None
    """Last change; null if only this process knows the type."""
    isolation: Isolation | None
    """Null unless Python handlers run the type."""
    batch: JobTypeBatch | None
    workers: int
    """Processes that run jobs of this type now, or lease them to workers over HTTP."""
    observed: ObservedTimes | None
    """Null if no job of the type has completed."""
    breaker: JobTypeBreaker | None
    """Null if the handler declares none."""
    limits: StartLimits


OverlapPolicy: TypeAlias = Literal["allow", "skip"]


CatchUpPolicy: TypeAlias = Literal["none", "last", "all"]


class LastJob(TypedDict):
    jobId: str
    dueAt: str


class LastError(TypedDict):
    code: str
    message: str
    details: ErrorDetails
    dueAt: str


class Schedule(TypedDict):
    """Current state of a schedule."""

    name: str
    cron: str
    timezone: str
    submission: dict[str, Any]
    """As it was sent, without its `callbackSecret`."""
    overlap: OverlapPolicy
    catchUp: CatchUpPolicy
    paused: bool
    declaredBy: DeclaredBy
    """`handler`: by code of a worker. `client`: over the API."""
    workers: int | None
    """Workers whose code declares it now; null unless declared by code."""
    nextRunAt: str | None
    """Null while the schedule is paused."""
    lastRunAt: str | None
    """Due time of its last job."""
    lastJob: LastJob | None
    lastError: LastError | None
    """Why a later job was refused; null once one is submitted."""
    createdAt: str
    updatedAt: str


SignatureVersion: TypeAlias = Literal["v1", "v1a"]


WebhookStatus: TypeAlias = Literal["enabled", "paused", "disabled"]


class DeliveryLimits(TypedDict):
    """Webhooks in flight to one endpoint at once, and webhooks sent per time, over all nodes. Null means no limit."""

    concurrency: NotRequired[int | None]
    rate: NotRequired[RateLimit | None]


class Circuit(TypedDict):
    """Circuit breaker of a receiver. Open: the receiver keeps failing, and only single probes are sent."""

    state: Literal["closed", "open"]
    failures: int
    """Failed attempts since the last success."""
    failingSince: str | None
    """Time of the first of these failures."""
    nextProbeAt: str | None
    """Time of the next probe; null while closed."""
    lastError: str | None


class Webhook(TypedDict):
    """Current state of a webhook."""

    webhookId: str
    url: str
    events: list[str]
    types: list[str]
    labels: dict[str, str]
    description: str | None
    headerNames: list[str] | None
    """Null if the service lacks the key that they are encrypted with."""
    signatures: list[SignatureVersion]
    publicKeys: list[str]
    """Public keys of `v1a`, as `whpk_…`, newest first."""
    jwksUrl: str | None
    """Public address of the same keys; null without `v1a`."""
    status: WebhookStatus
    paused: bool
    disabledAt: str | None
    disabledReason: str | None
    limits: DeliveryLimits
    circuit: Circuit
    previousSecretUntil: str | None
    """Until then the previous secret signs as well."""
    createdAt: str
    updatedAt: str


class DisclosedWebhook(TypedDict):
    """Webhook with its secret, which no other response contains."""

    webhookId: str
    url: str
    events: list[str]
    types: list[str]
    labels: dict[str, str]
    description: str | None
    headerNames: list[str] | None
    """Null if the service lacks the key that they are encrypted with."""
    signatures: list[SignatureVersion]
    publicKeys: list[str]
    """Public keys of `v1a`, as `whpk_…`, newest first."""
    jwksUrl: str | None
    """Public address of the same keys; null without `v1a`."""
    status: WebhookStatus
    paused: bool
    disabledAt: str | None
    disabledReason: str | None
    limits: DeliveryLimits
    circuit: Circuit
    previousSecretUntil: str | None
    """Until then the previous secret signs as well."""
    createdAt: str
    updatedAt: str
    secret: str


class Jwk(TypedDict):
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    alg: Literal["EdDSA"]
    kid: str
    x: str


class Jwks(TypedDict):
    """Public keys that verify `v1a` (RFC 7517, RFC 8037): one, or two during a rotation."""

    keys: list[Jwk]


class SentTest(TypedDict):
    """Delivery of a `webhook.test`."""

    deliveryId: str
    eventId: str
    """The `webhook-id` of the request."""


DeliveredEvent: TypeAlias = Literal[
    "job.started",
    "job.progress",
    "job.retrying",
    "job.completed",
    "job.failed",
    "job.cancelled",
    "batch.completed",
    "webhook.test",
    "endpoint.disabled",
]


DeliveryStatus: TypeAlias = Literal["pending", "delivered", "failed"]


class Delivery(TypedDict):
    """Delivery of one event to one receiver: to a webhook, or to the `callbackUrl` of a job."""

    deliveryId: str
    webhookId: str | None
    """Null for a delivery to the `callbackUrl` of a job."""
    jobId: str | None
    """Null if the event is not about a job."""
    eventId: str
    """Header `webhook-id`; the same on every attempt."""
    eventType: DeliveredEvent
    sequence: int | None
    """Sequence of the event within its job."""
    url: str | None
    """Current URL of the receiver; null if the receiver was deleted."""
    status: DeliveryStatus
    attemptCount: int
    """Includes the attempt in progress."""
    nextAttemptAt: str | None
    """Earliest time of the next attempt; null while an attempt is in progress."""
    createdAt: str
    completedAt: str | None
    lastStatusCode: int | None
    lastError: str | None


class Attempt(TypedDict):
    """One attempt of a delivery."""

    attempt: int
    attemptedAt: str
    """Start of the attempt."""
    durationMs: int
    statusCode: int | None
    """Null if there was no response."""
    answer: str | None
    """First KiB of the response body."""
    error: str | None


class WholeDelivery(TypedDict):
    deliveryId: str
    webhookId: str | None
    """Null for a delivery to the `callbackUrl` of a job."""
    jobId: str | None
    """Null if the event is not about a job."""
    eventId: str
    """Header `webhook-id`; the same on every attempt."""
    eventType: DeliveredEvent
    sequence: int | None
    """Sequence of the event within its job."""
    url: str | None
    """Current URL of the receiver; null if the receiver was deleted."""
    status: DeliveryStatus
    attemptCount: int
    """Includes the attempt in progress."""
    nextAttemptAt: str | None
    """Earliest time of the next attempt; null while an attempt is in progress."""
    createdAt: str
    completedAt: str | None
    lastStatusCode: int | None
    lastError: str | None
    attempts: list[Attempt]
    """All attempts, oldest first."""


ReplayStatus: TypeAlias = Literal["collecting", "sending", "completed"]


class Replay(TypedDict):
    """Progress of a replay. `found` is the sum of `delivered`, `failed` and `waiting`."""

    incomplete: NotRequired[bool]
    """`true`: cells are away, and what they have is missing. Else absent."""
    cellsAway: NotRequired[list[int]]
    """Numbers of the cells that are away."""
    replayId: str
    webhookId: str
    since: str
    status: ReplayStatus
    found: int
    delivered: int
    failed: int
    waiting: int
    createdAt: str
    collectedAt: str | None
    """Time at which all were found."""


KeyScope: TypeAlias = Literal[
    "jobs:read", "jobs:payload", "jobs:write", "webhooks", "schedules", "worker", "admin", "operator"
]


class Key(TypedDict):
    """API key, without its secret."""

    keyId: str
    name: str
    scopes: list[KeyScope]
    types: list[str] | None
    queues: list[str] | None
    rate: RateLimit | None
    expiresAt: str | None
    validUntil: str | None
    """Time from which the key is refused because it was rotated."""
    createdAt: str
    createdBy: str
    """Key id or `cli:user@host` of its author."""
    lastUsedAt: str | None
    """Time of its last use, to the minute."""


class DisclosedKey(TypedDict):
    """API key with its text, which no other response contains."""

    keyId: str
    name: str
    scopes: list[KeyScope]
    types: list[str] | None
    queues: list[str] | None
    rate: RateLimit | None
    expiresAt: str | None
    validUntil: str | None
    """Time from which the key is refused because it was rotated."""
    createdAt: str
    createdBy: str
    """Key id or `cli:user@host` of its author."""
    lastUsedAt: str | None
    """Time of its last use, to the minute."""
    key: str
    """Send it as `Authorization: Bearer <key>`."""


class DueTime(TypedDict):
    dueAt: str
    localTime: str
    """The same time in the schedule's time zone, with its offset."""


class DueTimes(TypedDict):
    """Next due times of a schedule."""

    timezone: str
    """IANA name of the time zone of `localTime`."""
    paused: bool
    """True: the schedule submits nothing until it is resumed."""
    items: list[DueTime]


class ScheduleRun(TypedDict):
    """Due time that was run, or the time of a run by request."""

    dueAt: str
    jobId: str | None
    """Null if it was skipped because the last job had not ended."""
    status: JobStatus | None
    """Current status of the job; null without a job, or if it was deleted."""
    startedAt: str | None
    completedAt: str | None


class WebhookHealth(TypedDict):
    """State of a webhook's receiver, from its circuit and its newest ended deliveries."""

    incomplete: NotRequired[bool]
    """`true`: cells are away, and what they have is missing. Else absent."""
    cellsAway: NotRequired[list[int]]
    """Numbers of the cells that are away."""
    webhookId: str
    status: WebhookStatus
    circuit: Circuit
    pending: int
    """Deliveries that wait or are being sent, counted up to 1,000."""
    recent: int
    """Newest ended deliveries that were counted, at most 200."""
    delivered: int
    failed: int
    successRate: float | None
    """Share of `delivered`; null without any."""
    lastDeliveredAt: str | None
    """Last success among these deliveries."""
    lastFailedAt: str | None
    """Last failure among these deliveries."""


class FigureSeries(TypedDict):
    """One value for each step, the oldest first."""

    submitted: list[int]
    """Number in each step."""
    started: list[int]
    """Number in each step."""
    completed: list[int]
    """Number in each step."""
    failed: list[int]
    """Number in each step."""
    cancelled: list[int]
    """Number in each step."""
    retried: list[int]
    """Attempts in each step after which the job runs again."""
    deliveriesSucceeded: list[int]
    """Delivery attempts of webhooks in each step."""
    deliveriesFailed: list[int]
    """Delivery attempts of webhooks in each step."""
    waiting: list[int]
    """Jobs ready to start: the highest number in each step."""
    scheduled: list[int]
    """Highest number in each step, of one reading a minute."""
    blocked: list[int]
    """Highest number in each step, of one reading a minute."""
    running: list[int]
    """Highest number in each step, of one reading a minute."""
    oldestWaitSeconds: list[float]
    """Waiting time of the oldest job ready to start."""
    waitP50Seconds: list[float | None]
    """To within 15 %. Null for a step without any."""
    waitP99Seconds: list[float | None]
    """To within 15 %. Null for a step without any."""
    runP50Seconds: list[float | None]
    """To within 15 %. Null for a step without any."""
    runP99Seconds: list[float | None]
    """To within 15 %. Null for a step without any."""


class Figures(TypedDict):
    """Figures that the service keeps for two days. They are up to ten seconds old, and not exact: a node that is killed loses what it counted since it last wrote."""

    incomplete: NotRequired[bool]
    """`true`: cells are away, and what they have is missing. Else absent."""
    cellsAway: NotRequired[list[int]]
    """Numbers of the cells that are away."""
    queue: str | None
    since: str
    """Start of the first step."""
    until: str
    """End of the last step, which may be in the future."""
    stepSeconds: int
    series: FigureSeries


class Node(TypedDict):
    """Process of the service."""

    nodeId: str
    """New at each start."""
    name: str
    """Host name and process id."""
    version: str
    roles: list[str]
    state: Literal["ready", "draining", "late"]
    """`late`: its heartbeats are missing; once its lease has expired, its jobs run elsewhere."""
    slots: int
    """Jobs that it can run at once, of all tenants."""
    busySlots: int
    """Slots in use at its last heartbeat."""
    startedAt: str
    heartbeatAt: str


class Scaling(TypedDict):
    """Load of the tenant, or of one of its queues or job types, and the slots that it needs."""

    incomplete: NotRequired[bool]
    """`true`: cells are away, and what they have is missing. Else absent."""
    cellsAway: NotRequired[list[int]]
    """Numbers of the cells that are away."""
    waiting: int
    """Jobs ready to start. Estimated above a thousand in a lane."""
    running: int
    """Attempts in progress."""
    oldestWaitSeconds: float
    """Waiting time of the oldest job that is ready to start."""
    arrivalRate: float
    """Jobs submitted per second, over the last minutes."""
    desiredSlots: int
    """Slots that drain what waits within the target and keep up with what arrives; at least `running`."""
    drainSeconds: float | None
    """Time in which the slots of all live workers drain what waits. Null if it only grows."""
