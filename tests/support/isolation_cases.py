"""Cases of the isolation test, from the OpenAPI document: each operation with each id that a request can name.

A case sends a request with another tenant's id, and the same request with one that does not exist.
"""

import itertools
import random
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from duly.api.access import audit, keys
from duly.api.batches import list_batches
from duly.api.jobs import list_jobs
from duly.api.queues import job_types, queues
from duly.api.schedules import schedules
from duly.api.webhooks import endpoints
from duly.domain.cursor import decode_cursor, encode_cursor
from duly.domain.ids import new_job_id
from duly.domain.stream_position import read_position
from tests.support.two_tenants import Holdings

Document = Mapping[str, Any]
# Parameters that are no ids of a tenant's.
NO_IDS = frozenset(
    {
        *("Prefer", "X-Correlation-Id", "traceparent", "If-None-Match", "If-Match"),
        *(
            "action",
            "after",
            "attempt",
            "count",
            "createdAfter",
            "createdBefore",
            "dryRun",
            "event",
            "force",
            "level",
            "limit",
            "since",
            "status",
        ),
        *("step", "targetSeconds", "until", "wait"),
    }
)
# Parameters by another name than that of the holdings, or only in some places.
NAMED = {
    "parentId": "jobId",
    "label": "label",
    "Idempotency-Key": "idempotencyKey",
    "Last-Event-ID": "position",
    "lastEventId": "position",
}
# In the stream of one job, the position is a number of that job.
POSITIONS_OF_JOBS = "/api/v1/jobs/{jobId}/events/stream"
# Names that belong to what another parameter names, and have no meaning without it.
NAMES_WITHIN = {
    ("POST", "/api/v1/jobs/batch", "name"),
    ("POST", "/api/v1/jobs/{jobId}/signals/{name}", "name"),
    ("POST", "/api/v1/leases/{leaseId}/steps/{name}", "name"),
}
# Operations without an id: what they answer must not show anything of another tenant.
WITHOUT_IDS = {
    *(("GET", "/api/v1/tenants"), ("POST", "/api/v1/tenants")),
    *(
        ("GET", "/api/v1/batches"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/api/v1/keys"),
        ("POST", "/api/v1/webhooks"),
    ),
    *(("GET", "/api/v1/limits"), ("PUT", "/api/v1/limits"), ("DELETE", "/api/v1/limits")),
}
# Not of a tenant: figures and nodes of the installation, and public keys, which receivers of any tenant read.
OF_NO_TENANT = {
    *(("GET", "/metrics"), ("GET", "/api/v1/webhooks/{webhookId}/jwks.json"), ("GET", "/api/v1/nodes")),
}
CURSORS = {
    "/api/v1/audit": audit.LIST,
    "/api/v1/batches": list_batches.LIST,
    "/api/v1/jobs": list_jobs.LIST,
    "/api/v1/job-types": job_types.LIST,
    "/api/v1/keys": keys.LIST,
    "/api/v1/queues": queues.LIST,
    "/api/v1/schedules": schedules.LIST,
    "/api/v1/webhooks": endpoints.LIST,
}
ECHO = {"type": "echo", "parameters": {"a": 1}, "delaySeconds": 3600}
SCHEDULE = {"cron": "0 3 1 1 *", "submission": ECHO}
BODIES: Mapping[tuple[str, str], Any] = {
    ("PUT", "/api/v1/job-types/{type}"): {"parametersSchema": {"type": "object"}},
    ("PUT", "/api/v1/job-types/{type}/limits"): {"concurrency": 3},
    ("PUT", "/api/v1/queues/{queue}/limits"): {"concurrency": 3},
    ("PUT", "/api/v1/limits"): {"backlog": 1_000},
    ("POST", "/api/v1/jobs"): ECHO,
    ("PUT", "/api/v1/jobs/{jobId}"): ECHO,
    ("POST", "/api/v1/jobs/batch"): {"jobs": [ECHO], "then": ECHO},
    ("POST", "/api/v1/jobs/{jobId}/signals/{name}"): {"approved": True},
    ("POST", "/api/v1/jobs/{jobId}/retry"): {},
    ("POST", "/api/v1/leases"): {"types": ["unused"]},
    ("POST", "/api/v1/leases/heartbeat"): {"leaseIds": ["x"]},
    ("POST", "/api/v1/leases/complete"): {"leases": [{"leaseId": "x", "result": 1}]},
    ("POST", "/api/v1/leases/{leaseId}/heartbeat"): {"progress": 50},
    ("POST", "/api/v1/leases/{leaseId}/complete"): {"result": 1},
    ("POST", "/api/v1/leases/{leaseId}/fail"): {"error": {"message": "failed"}},
    ("POST", "/api/v1/leases/{leaseId}/release"): {},
    ("POST", "/api/v1/leases/{leaseId}/jobs"): {"jobs": [ECHO]},
    ("POST", "/api/v1/leases/{leaseId}/steps/{name}"): {"result": 1, "compensation": {"type": "echo"}},
    ("POST", "/api/v1/leases/{leaseId}/park"): {"signal": "approval"},
    ("POST", "/api/v1/keys"): {"name": "new", "scopes": ["jobs:read"]},
    ("POST", "/api/v1/keys/{keyId}/rotate"): {"overlapSeconds": 60},
    ("POST", "/api/v1/schedules"): {"name": "new", **SCHEDULE},
    ("PUT", "/api/v1/schedules/{name}"): SCHEDULE,
    ("PATCH", "/api/v1/schedules/{name}"): {"paused": True},
    ("POST", "/api/v1/stream-tickets"): {"all": True},
    ("POST", "/api/v1/tenants"): {"tenant": "new"},
    ("PATCH", "/api/v1/tenants/{tenant}"): {"maxKeys": 3},
    ("POST", "/api/v1/webhooks"): {"url": "http://127.0.0.1:9/new", "events": ["*"]},
    ("PATCH", "/api/v1/webhooks/{webhookId}"): {"description": "mine"},
    ("POST", "/api/v1/webhooks/{webhookId}/replay"): {"since": "2026-01-01T00:00:00.000Z"},
    ("POST", "/api/v1/webhooks/{webhookId}/rotate-secret"): {},
}
# Members of bodies that name something of a tenant, wherever they are in a body.
ID_MEMBERS = {
    "dependsOn": "jobId",
    "jobId": "jobId",
    "batchId": "batchId",
    "uniqueKey": "uniqueKey",
    "concurrencyKey": "concurrencyKey",
    "type": "type",
    "leaseIds": "leaseId",
    "leaseId": "leaseId",
    "types": "type",
    "queues": "queue",
    "queue": "queue",
}
LISTS = {"dependsOn", "leaseIds", "types", "queues"}
# Members that exclude others.
ALONE = {("POST", "/api/v1/stream-tickets")}
NOT_IN_THERE = {("then", "uniqueKey"), ("submission", "dependsOn")}
RECORDED = {"uniqueKey", "concurrencyKey", "queue"}
# Child jobs are recorded by their position, where a second submission must not differ.
BY_POSITION = "/api/v1/leases/{leaseId}/jobs"


@dataclass
class Sent:
    """Request, as arguments of a client; `{…}` in the path is filled."""

    method: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None

    @property
    def streams(self) -> bool:
        return self.path.endswith("/stream")


class Case(NamedTuple):
    """Request that names an id: `theirs` of another tenant, and one of `unknown()`, which does not exist."""

    name: str
    request: Callable[[str], Sent]
    theirs: str
    unknown: Callable[[], str]


class Cases:
    """The cases of a document. `mine` are the holdings of the caller, `theirs` those of the other tenant."""

    def __init__(self, document: Document, *, mine: Holdings, theirs: Holdings, taken: Callable[[], str]) -> None:
        self._document = document
        self._mine, self._theirs = mine, theirs
        self._taken = taken
        self._schemas = document["components"]["schemas"]
        self._numbers = itertools.count(100_000)

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Yields each operation of tenants by method and path: reads first, while the caller has only its own names."""
        found = [
            (method.upper(), path, operation)
            for path, item in self._document["paths"].items()
            for method, operation in item.items()
            if (method.upper(), path) not in OF_NO_TENANT
        ]
        yield from sorted(found, key=lambda each: each[0] != "GET")

    def all(self) -> Iterator[Case]:
        """Yields every case. Fails for an operation or parameter that is in no table above."""
        for method, path, operation in self.operations():
            found = [*self._of_parameters(method, path, operation), *self._of_members(method, path, operation)]
            assert found or (method, path) in WITHOUT_IDS, f"no case for {method} {path}"
            yield from found

    def reads(self) -> Iterator[Sent]:
        """Yields each operation that reads, with the caller's own ids."""
        for method, path, _ in self.operations():
            if method == "GET":
                yield self._sent(method, path)

    def _of_parameters(self, method: str, path: str, operation: Mapping[str, Any]) -> Iterator[Case]:
        for parameter in operation.get("parameters", ()):
            name, place = parameter["name"], parameter["in"]
            if name in NO_IDS or (method, path, name) in NAMES_WITHIN:
                continue
            if name in {"lastEventId", "Last-Event-ID"} and path == POSITIONS_OF_JOBS:
                continue
            for value in self._values(name, path):
                yield Case(
                    f"{method} {path} {place} {name}={value}",
                    self._with(method, path, place, name),
                    value,
                    self._unknown(method, path, name, value),
                )

    def _values(self, name: str, path: str) -> list[str]:
        if name == "cursor":
            return self._theirs.ids.get(f"cursor {path}", [])
        kind = NAMED.get(name, name)
        assert kind in self._theirs.ids, f"parameter {name} of {path}: an id of a tenant (two_tenants), or in NO_IDS"
        return self._theirs.ids[kind]

    def _unknown(self, method: str, path: str, name: str, value: str) -> Callable[[], str]:
        if (method, path, name) == ("PUT", "/api/v1/jobs/{jobId}", "jobId"):
            return self._taken  # an unknown id would be recorded
        if name == "cursor":
            return lambda: other_cursor(value, CURSORS.get(path))
        if NAMED.get(name) == "position":
            return lambda: other_position(value)
        return lambda: other(value)

    def _with(self, method: str, path: str, place: str, name: str) -> Callable[[str], Sent]:
        def request(value: str) -> Sent:
            sent = self._sent(method, path, **({name: value} if place == "path" else {}))
            if place == "query":
                sent.params[name] = f"customer:{value}" if name == "label" else value
            elif place == "header":
                sent.headers[name] = value
            return sent

        return request

    def _sent(self, method: str, path: str, **given: str) -> Sent:
        """Returns a request with the caller's own ids where none is given."""
        body = BODIES.get((method, path))
        if (method, path) == ("POST", "/api/v1/schedules"):
            body = SCHEDULE | {"name": f"new-{next(self._numbers)}"}
        for name in _names_in(path):
            path = path.replace(f"{{{name}}}", given.get(name, self._mine.ids[name][0]))
        return Sent(method, path, json=body)

    def _of_members(self, method: str, path: str, operation: Mapping[str, Any]) -> Iterator[Case]:
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            return
        assert (method, path) in BODIES, f"no body for {method} {path}"
        for trail in self._trails(body["schema"]):
            kind = ID_MEMBERS.get(trail[-1])
            if kind is None or tuple(trail[-2:]) in NOT_IN_THERE or (path == BY_POSITION and kind in RECORDED):
                continue
            for value in self._theirs.ids[kind]:
                yield Case(
                    f"{method} {path} body {'.'.join(trail)}={value}",
                    self._with_member(method, path, trail),
                    value,
                    lambda value=value: other(value),  # type: ignore[misc]
                )

    def _with_member(self, method: str, path: str, trail: list[str]) -> Callable[[str], Sent]:
        def request(value: str) -> Sent:
            sent = self._sent(method, path)
            if path == "/api/v1/jobs/{jobId}":
                sent.path = f"/api/v1/jobs/{new_job_id()}"
            member = [value] if trail[-1] in LISTS else value
            sent.json = {trail[-1]: member} if (method, path) in ALONE else _put(sent.json, trail, member)
            return sent

        return request

    def _trails(self, schema: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[list[str]]:
        """Yields the way to each member of a body."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if above.count(f"#{name}") == 0:
                yield from self._trails(self._schemas[name], (*above, f"#{name}"))
            return
        for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            yield from self._trails(each, above)
        if isinstance(schema.get("items"), Mapping):
            yield from self._trails(schema["items"], above)
        for name, member in schema.get("properties", {}).items():
            yield [*(part for part in above if not part.startswith("#")), name]
            yield from self._trails(member, (*above, name))


def _names_in(path: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(path) if name]


def _put(body: Any, trail: list[str], member: Any) -> Any:
    """Returns a copy of a body with a member at the end of the way; of a list, in its first item."""
    if isinstance(body, list):
        return [_put(body[0], trail, member), *body[1:]]
    if len(trail) == 1:
        return {**(body or {}), trail[0]: member}
    return {**body, trail[0]: _put(body.get(trail[0], dict(ECHO)), trail[1:], member)}


def other(value: str) -> str:
    """Returns a value of the same form that does not exist."""
    if len(value) == len("0199c1f0-0000-7000-8000-000000000000") and value.count("-") == 4:
        return str(new_job_id())
    drawn = random.Random(value)  # noqa: S311
    return "".join(drawn.choice(string.ascii_lowercase) if each.isalnum() else each for each in value)


def other_cursor(cursor: str, kind: str | None) -> str:
    """Returns a cursor of the same list whose position does not exist; one with a wrong checksum if the list is of one
    resource.
    """
    position = decode_cursor(kind, cursor) if kind is not None else None
    if kind is None or position is None:
        return other(cursor)
    if position.isdigit():
        return encode_cursor(kind, str(int(position) - 1).encode())
    return encode_cursor(kind, position[:-1] + bytes([position[-1] ^ 1]))


def other_position(position: str) -> str:
    """Returns a position of the stream at the same transaction, after a job that does not exist."""
    read = read_position(position)
    assert read is not None
    return str(read._replace(job_id=new_job_id()))
