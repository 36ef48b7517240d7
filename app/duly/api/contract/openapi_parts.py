"""Parts of the OpenAPI document that routes and models share: formats, bodies, headers and texts."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import WithJsonSchema

# Texts in answers. In requests an id stays any text: what is no id is answered like one that does not exist.
IdText: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
TimeText: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]

TAGS: Final = {
    "jobs": "Submit, read, list, cancel and retry jobs.",
    "batches": "Submit many jobs at once, all or none, and see how they stand.",
    "events": "The history of a job, and live streams of one job or of all, as server-sent events.",
    "limits": "How many jobs may be submitted in a time, and how many may wait.",
    "job types": "What this service can do: schemas, defaults, limits and observed times.",
    "schedules": "Submissions that recur, by cron expressions.",
    "webhooks": "Endpoints that are told of jobs and batches.",
    "deliveries": "What was sent to webhooks and callbacks, attempt by attempt; sending it again.",
    "queues": "How queues stand; pausing, resuming and limiting them.",
    "operations": "For probes and monitoring. These need no key.",
}

_ID: Final = {"type": "string", "format": "uuid"}
_NAME: Final = {"type": "string"}
PATH_PARAMETERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "jobId": (_ID, "the job's id"),
    "batchId": (_ID, "the batch's id"),
    "webhookId": (_ID, "the webhook's id"),
    "deliveryId": (_ID, "the delivery's id"),
    "replayId": (_ID, "the replay's id"),
    "queue": (_NAME, "the queue's name; a slash in it may be written as `%2F`"),
    "type": (_NAME, "the job type's name; a slash in it may be written as `%2F`"),
    "name": (_NAME, "the schedule's name"),
}
# Parameters of lists that no route describes by itself.
QUERY_TEXTS: Final = {
    "limit": "how many at most",
    "cursor": "the `nextCursor` of the page before",
    "status": "of this status; named twice: of either",
    "type": "of this job type; named twice: of either",
    "queue": "in this queue; named twice: in either",
    "batchId": "of this batch; named twice: of either",
    "event": "of this kind; named twice: of either",
    "lastEventId": "resumes after this frame, where no header `Last-Event-ID` can be sent",
}

_TEXT: Final = {"type": "string"}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {"description": "the request's own, or one made for it", "schema": _TEXT},
    "Location": {
        "description": "the address of what was made",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {"description": "seconds after which to ask again", "schema": {"type": "integer", "minimum": 0}},
    "ETag": {"description": "the job's `sequence`, for `If-None-Match`", "schema": _TEXT, "example": '"7"'},
    "RateLimit-Policy": {"description": "the limit: its quota `q`, its window `w`", "schema": _TEXT},
    "RateLimit": {"description": "what remains `r`, seconds until more `t`", "schema": _TEXT},
    "WWW-Authenticate": {"description": "how to send the key", "schema": _TEXT, "example": 'Bearer realm="duly"'},
    "Idempotency-Replayed": {
        "description": "`true` where an earlier request with this `Idempotency-Key` was recorded",
        "schema": {"type": "string", "const": "true"},
    },
    "Preference-Applied": {"description": "the `wait` that was taken from `Prefer`", "schema": _TEXT},
}
_JOB: Final = ("ETag", "Retry-After")
_SUBMITTED: Final = ("Location", "Idempotency-Replayed", "Preference-Applied")
# Beside X-Request-Id, which all answers have.
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
}


def absent() -> Any:
    """The default of a member that may be left out and is never null."""


def takes(model: str, *, required: bool = True) -> dict[str, Any]:
    """Returns the request body of a route that reads it by itself, as JSON of this model."""
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def header_parameters(texts: dict[str, str]) -> list[dict[str, Any]]:
    """Returns the headers that a route reads by itself, each with its description."""
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in texts.items()
    ]
