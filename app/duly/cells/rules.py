"""Rules by which requests find their cell: one for each route of the application."""

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

import orjson
from starlette.types import Scope

from duly.api.jobs.submit_job import PATH as JOBS
from duly.api.server.scope_values import body_of
from duly.domain.base64url import read_base64url
from duly.domain.cells import cell_of
from duly.domain.ids import parse_job_id
from duly.domain.lease_id import LONGEST_ID
from duly.domain.sealing import SIGNATURE_BYTES
from duly.domain.signal_link import LONGEST_TOKEN


class Rule(Enum):
    """Way in which a request finds its cell, or its cells."""

    ANY = auto()
    """Any cell that serves: the answer is the same in each."""
    HOME = auto()
    """Cell 0; while it is away, reads are of its copy in another one."""
    BY_ID = auto()
    """The cell of the job, batch, delivery or replay whose id is in the path."""
    BY_LEASE = auto()
    """The cell of the job that the lease in the path is of."""
    BY_LINK = auto()
    """The cell of the job that the signed link is of."""
    BY_SCHEDULE = auto()
    """The cell in which the schedule fires: that of its name."""
    BY_TARGET = auto()
    """The cell of the job or batch that the body names; any for others."""
    PLACED = auto()
    """The cell that the submission needs, or any that serves."""
    CLAIM = auto()
    """All cells, for jobs to lease."""
    BY_LEASES = auto()
    """The cells of the leases in the body; their answers are joined."""
    SUMMED = auto()
    """Each cell; the numbers in their answers are added."""
    WRITTEN = auto()
    """Configuration: cell 0, and from there all others."""
    MERGED = auto()
    """All cells, whose answers are merged into one."""
    PROCESS = auto()
    """No cell: the process answers for all of its nodes."""
    SOCKET = auto()
    """The cells of the jobs that the messages of a WebSocket name."""


_JOB, _LEASE = "/api/v1/jobs/{jobId}", "/api/v1/leases/{leaseId}"
_BATCH, _DELIVERY = "/api/v1/batches/{batchId}", "/api/v1/deliveries/{deliveryId}"
_QUEUE, _TYPE = "/api/v1/queues/{queue}", "/api/v1/job-types/{type}"
_SCHEDULE, _WEBHOOK = "/api/v1/schedules/{name}", "/api/v1/webhooks/{webhookId}"
_SESSION = "/ui/session"

# By method and path. HEAD follows the rule of GET. A test compares them with the routes.
RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("GET", "/healthz"): Rule.ANY,
    ("GET", "/readyz"): Rule.PROCESS,
    ("GET", "/metrics"): Rule.PROCESS,
    ("GET", "/"): Rule.ANY,
    ("GET", "/docs"): Rule.ANY,
    ("GET", "/ui"): Rule.ANY,
    ("GET", "/ui/{path}"): Rule.ANY,
    ("GET", "/ui/assets/{digest}/{name}"): Rule.ANY,
    ("GET", _SESSION): Rule.ANY,
    ("POST", _SESSION): Rule.ANY,
    ("DELETE", _SESSION): Rule.ANY,
    ("GET", "/openapi.json"): Rule.ANY,
    ("GET", "/signals/{token}"): Rule.BY_LINK,
    ("POST", "/signals/{token}"): Rule.BY_LINK,
    ("GET", "/ws/jobs"): Rule.SOCKET,
    ("POST", JOBS): Rule.PLACED,
    ("GET", JOBS): Rule.MERGED,
    ("POST", "/api/v1/jobs/batch"): Rule.PLACED,
    ("POST", "/api/v1/jobs/retry"): Rule.SUMMED,
    ("POST", "/api/v1/jobs/cancel"): Rule.SUMMED,
    ("PUT", _JOB): Rule.BY_ID,
    ("GET", _JOB): Rule.BY_ID,
    ("POST", f"{_JOB}/cancel"): Rule.BY_ID,
    ("POST", f"{_JOB}/retry"): Rule.BY_ID,
    ("POST", f"{_JOB}/signals/{{name}}"): Rule.BY_ID,
    ("GET", f"{_JOB}/events"): Rule.BY_ID,
    ("GET", f"{_JOB}/events/stream"): Rule.BY_ID,
    ("GET", f"{_JOB}/why"): Rule.BY_ID,
    ("GET", f"{_JOB}/logs"): Rule.BY_ID,
    ("GET", f"{_JOB}/steps"): Rule.BY_ID,
    ("GET", f"{_JOB}/deliveries"): Rule.BY_ID,
    ("GET", "/api/v1/batches"): Rule.MERGED,
    ("GET", _BATCH): Rule.BY_ID,
    ("POST", f"{_BATCH}/cancel"): Rule.BY_ID,
    ("GET", "/api/v1/events/stream"): Rule.MERGED,
    ("POST", "/api/v1/stream-tickets"): Rule.BY_TARGET,
    ("GET", "/api/v1/job-types"): Rule.MERGED,
    ("GET", _TYPE): Rule.MERGED,
    ("PUT", _TYPE): Rule.WRITTEN,
    ("DELETE", _TYPE): Rule.WRITTEN,
    ("GET", f"{_TYPE}/limits"): Rule.HOME,
    ("PUT", f"{_TYPE}/limits"): Rule.WRITTEN,
    ("DELETE", f"{_TYPE}/limits"): Rule.WRITTEN,
    ("GET", "/api/v1/queues"): Rule.MERGED,
    ("GET", _QUEUE): Rule.MERGED,
    ("POST", f"{_QUEUE}/pause"): Rule.WRITTEN,
    ("POST", f"{_QUEUE}/resume"): Rule.WRITTEN,
    ("GET", f"{_QUEUE}/limits"): Rule.HOME,
    ("PUT", f"{_QUEUE}/limits"): Rule.WRITTEN,
    ("DELETE", f"{_QUEUE}/limits"): Rule.WRITTEN,
    ("GET", "/api/v1/figures"): Rule.MERGED,
    ("GET", "/api/v1/nodes"): Rule.MERGED,
    ("GET", "/api/v1/scaling"): Rule.MERGED,
    ("GET", "/api/v1/limits"): Rule.HOME,
    ("PUT", "/api/v1/limits"): Rule.WRITTEN,
    ("DELETE", "/api/v1/limits"): Rule.WRITTEN,
    ("GET", "/api/v1/schedules"): Rule.MERGED,
    ("POST", "/api/v1/schedules"): Rule.WRITTEN,
    ("GET", _SCHEDULE): Rule.BY_SCHEDULE,
    ("PUT", _SCHEDULE): Rule.WRITTEN,
    ("PATCH", _SCHEDULE): Rule.WRITTEN,
    ("DELETE", _SCHEDULE): Rule.WRITTEN,
    ("POST", f"{_SCHEDULE}/run"): Rule.BY_SCHEDULE,
    ("GET", f"{_SCHEDULE}/due-times"): Rule.BY_SCHEDULE,
    ("GET", f"{_SCHEDULE}/runs"): Rule.BY_SCHEDULE,
    ("GET", "/api/v1/webhooks"): Rule.HOME,
    ("POST", "/api/v1/webhooks"): Rule.WRITTEN,
    ("GET", _WEBHOOK): Rule.HOME,
    ("PATCH", _WEBHOOK): Rule.WRITTEN,
    ("DELETE", _WEBHOOK): Rule.WRITTEN,
    ("GET", f"{_WEBHOOK}/jwks.json"): Rule.HOME,
    ("GET", f"{_WEBHOOK}/health"): Rule.MERGED,
    ("POST", f"{_WEBHOOK}/test"): Rule.HOME,
    ("POST", f"{_WEBHOOK}/rotate-secret"): Rule.WRITTEN,
    ("GET", f"{_WEBHOOK}/deliveries"): Rule.MERGED,
    ("POST", f"{_WEBHOOK}/replay"): Rule.MERGED,
    ("GET", f"{_WEBHOOK}/replays"): Rule.MERGED,
    ("GET", f"{_WEBHOOK}/replays/{{replayId}}"): Rule.BY_ID,
    ("GET", _DELIVERY): Rule.BY_ID,
    ("POST", f"{_DELIVERY}/redeliver"): Rule.BY_ID,
    ("POST", "/api/v1/leases"): Rule.CLAIM,
    ("POST", "/api/v1/leases/heartbeat"): Rule.BY_LEASES,
    ("POST", "/api/v1/leases/complete"): Rule.BY_LEASES,
    ("POST", f"{_LEASE}/heartbeat"): Rule.BY_LEASE,
    ("POST", f"{_LEASE}/complete"): Rule.BY_LEASE,
    ("POST", f"{_LEASE}/fail"): Rule.BY_LEASE,
    ("POST", f"{_LEASE}/release"): Rule.BY_LEASE,
    ("POST", f"{_LEASE}/jobs"): Rule.BY_LEASE,
    ("POST", f"{_LEASE}/steps/{{name}}"): Rule.BY_LEASE,
    ("POST", f"{_LEASE}/park"): Rule.BY_LEASE,
    ("GET", "/api/v1/keys"): Rule.HOME,
    ("POST", "/api/v1/keys"): Rule.WRITTEN,
    ("DELETE", "/api/v1/keys/{keyId}"): Rule.WRITTEN,
    ("POST", "/api/v1/keys/{keyId}/rotate"): Rule.WRITTEN,
    ("GET", "/api/v1/audit"): Rule.MERGED,
    ("GET", "/api/v1/tenants"): Rule.HOME,
    ("POST", "/api/v1/tenants"): Rule.WRITTEN,
    ("GET", "/api/v1/tenants/{tenant}"): Rule.HOME,
    ("PATCH", "/api/v1/tenants/{tenant}"): Rule.WRITTEN,
}

_ID = "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{10}([0-9A-Fa-f]{2})"
_BY_ID = re.compile(
    rf"/api/v1/(?:(?:jobs|batches|deliveries)/{_ID}|webhooks/[^/]+/replays/{_ID})(?:/[^\n]*)?", re.ASCII
)
_SIGNED = re.compile(r"/(api/v1/leases|signals)/([^/]+)(?:/[^\n]*)?")
_JOB_AT = SIGNATURE_BYTES + 4  # in leases and links: signature, tenant, job
_ID_BYTES = 16


class Found(NamedTuple):
    """Rule of a request, and its cell where the path alone says it."""

    rule: Rule
    cell: int | None = None


UNKNOWN: Final = Found(Rule.ANY)


def cell_in_path(path: str, count: int) -> int | None:
    """Returns the cell of the job, batch, delivery, replay, lease or link in a path; None if it names none."""
    if (by_id := _BY_ID.fullmatch(path)) is not None:
        return int(by_id[1] or by_id[2], 16) % count
    if (signed := _SIGNED.fullmatch(path)) is not None:
        return cell_of_signed(signed[2], count)
    return None


def cell_of_signed(text: str, count: int) -> int | None:
    """Returns the cell of a lease or link, unverified: its own cell verifies it. None for another text."""
    raw = read_base64url(text, longest=max(LONGEST_ID, LONGEST_TOKEN))
    if raw is None or len(raw) < _JOB_AT + _ID_BYTES:
        return None
    return raw[_JOB_AT + _ID_BYTES - 1] % count


def cell_of_text(text: object, count: int) -> int | None:
    """Returns the cell of an id in text; None for a text that is not an id."""
    parsed = parse_job_id(text) if isinstance(text, str) else None
    return cell_of(parsed, count) if parsed is not None else None


def cell_of_target(scope: Scope, count: int) -> int | None:
    """Returns the cell of the job or batch that the body of a request names; None if it names none."""
    try:
        value: object = orjson.loads(body_of(scope))
    except orjson.JSONDecodeError:
        return None
    members = value if isinstance(value, dict) else {}
    return cell_of_text(members.get("jobId") or members.get("batchId"), count)
