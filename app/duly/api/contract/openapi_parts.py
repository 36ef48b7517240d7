"""Parts of the OpenAPI document that routes and models share: formats, bodies, headers and texts."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import ConfigDict, WithJsonSchema

# Formats in responses. In requests an id is any text: an invalid one gets the response of an unknown one.
IdText: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
TimeText: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]

# Models of queries are built with their routes, while FastAPI silences a needless warning of pydantic.
QUERY_MODEL: Final = ConfigDict(extra="forbid", defer_build=False)

TAGS: Final = {
    "jobs": "Submit, read, list, cancel and retry jobs.",
    "batches": "Submit many jobs at once, all or none; read and cancel them as one.",
    "events": "History of a job, and live streams of one or all jobs as server-sent events.",
    "limits": "Limits on submitting: jobs per time, and jobs waiting in a queue.",
    "job types": "Job types of handlers and declared ones: schemas, defaults, limits and observed run times.",
    "schedules": "Submit jobs periodically, by cron expressions.",
    "webhooks": "Register endpoints that receive events about jobs and batches.",
    "deliveries": "Webhooks and callbacks that were sent, attempt by attempt; redelivery and replay.",
    "figures": "Figures of the last two days for plots, nodes with their slots, and the scaling signal.",
    "queues": "Read, pause, resume and limit queues.",
    "leases": "Claim and run jobs with workers over HTTP, in any language.",
    "keys": "API keys of a tenant, with their scopes, and the audit log.",
    "tenants": "Tenants of the installation and their limits.",
    "operations": "Probes and metrics. They need no API key.",
}

_ID: Final = {"type": "string", "format": "uuid"}
_NAME: Final = {"type": "string"}
PATH_PARAMETERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "jobId": (_ID, "Job id."),
    "batchId": (_ID, "Batch id."),
    "webhookId": (_ID, "Webhook id."),
    "deliveryId": (_ID, "Delivery id."),
    "replayId": (_ID, "Replay id."),
    "queue": (_NAME, "Queue name. A slash may be written as `%2F`."),
    "type": (_NAME, "Job type. A slash may be written as `%2F`."),
    "name": (_NAME, "Name of the schedule, signal or step."),
    "keyId": (_NAME, "Id of the key: the 16 characters after `duly_`."),
    "tenant": (_NAME, "Tenant name."),
    "leaseId": (_NAME, "Id of the lease, from the response to the claim."),
}
# Query parameters without a description of their own.
QUERY_TEXTS: Final = {
    "limit": "Maximum number of items.",
    "cursor": "`nextCursor` of the previous page.",
    "status": "Filter by status; repeat for several.",
    "type": "Filter by job type; repeat for several.",
    "queue": "Filter by queue; repeat for several.",
    "batchId": "Filter by batch; repeat for several.",
    "parentId": "Children of this job; repeat for several.",
    "dryRun": "Count the matching jobs and change nothing.",
    "event": "Filter by event type; repeat for several.",
    "lastEventId": "Resumes after this frame, for clients that cannot send `Last-Event-ID`.",
}

_TEXT: Final = {"type": "string"}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {"description": "Id of the request: its own, or a generated one.", "schema": _TEXT},
    "Location": {
        "description": "Address of the created resource.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next request.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "ETag": {"description": "`sequence` of the job, for `If-None-Match`.", "schema": _TEXT, "example": '"7"'},
    "RateLimit-Policy": {"description": "Limit: quota `q` per window of `w` seconds.", "schema": _TEXT},
    "RateLimit": {"description": "Remaining quota `r`; seconds until it is refilled `t`.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "Authentication scheme.", "schema": _TEXT, "example": 'Bearer realm="duly"'},
    "Idempotency-Replayed": {
        "description": "`true` if an earlier request with this `Idempotency-Key` was recorded.",
        "schema": {"type": "string", "const": "true"},
    },
    "Duly-Cells-Away": {
        "description": "Numbers of the cells that are away, whose part is missing; absent if the response is complete.",
        "schema": _TEXT,
        "example": "1, 3",
    },
    "Preference-Applied": {"description": "`wait` that was applied from `Prefer`.", "schema": _TEXT},
}
_JOB: Final = ("ETag", "Retry-After")
_GATHERED: Final = (
    *("listJobs", "listBatches", "listWebhookDeliveries", "listReplays", "getReplay", "listAuditLog"),
    *("listQueues", "getQueue", "listJobTypes", "getJobType", "listNodes", "getFigures", "getScaling"),
    *("listSchedules", "getWebhookHealth"),
)
_SUBMITTED: Final = ("Location", "Idempotency-Replayed", "Preference-Applied")
# In addition to X-Request-Id, which all responses have.
HEADERS_BY_STATUS: Final = {
    "201": ("Location",),
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After", "RateLimit-Policy", "RateLimit"),
    "503": ("Retry-After",),
}
HEADERS_BY_OPERATION: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "submitJob": {"200": (*_SUBMITTED, "ETag"), "202": (*_SUBMITTED, "Retry-After")},
    "submitJobWithId": {"200": (*_SUBMITTED, *_JOB), "202": (*_SUBMITTED, "Retry-After")},
    "runSchedule": {"200": (*_SUBMITTED, "ETag"), "202": (*_SUBMITTED, "Retry-After")},
    "submitBatch": {"202": ("Location", "Idempotency-Replayed")},
    "getJob": {"200": _JOB, "304": _JOB},
    "cancelJob": {"200": _JOB, "202": _JOB},
    "retryJob": {"202": _JOB},
    "redeliverDelivery": {"202": ("Location",)},
    "createReplay": {"202": ("Location",)},
    "createStreamTicket": {"201": ()},
    **{operation: {"200": ("Duly-Cells-Away",)} for operation in _GATHERED},
}


def absent() -> Any:
    """Returns the default of a member that may be omitted and is never null."""


def json_body(model: str, *, required: bool = True) -> dict[str, Any]:
    """Returns the JSON request body, of this model, of a route that reads it itself."""
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def header_parameters(texts: dict[str, str]) -> list[dict[str, Any]]:
    """Returns the headers that a route reads itself, from their descriptions by name."""
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in texts.items()
    ]
