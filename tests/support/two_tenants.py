"""Two tenants that hold one of everything: what each has, by the names of parameters, and a snapshot of their rows."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.support.handlers import has_entered
from tests.support.keys import ALL, bearer, make_key, make_tenant
from tests.support.service import BOUND_SECONDS, Service, eventually
from tests.support.sql_tables import TENANT_TABLES

SCOPES = tuple(scope for scope in ALL if scope != "operator")
# Figures change every minute while jobs wait.
CHANGING = {"minute_figures"}
IN_AN_HOUR: dict[str, Any] = {"delaySeconds": 3600}


@dataclass
class Holdings:
    """Data of one tenant. `word` is in all its names and values; `ids` has the values of each kind of id."""

    tenant: str
    word: str
    key: str
    ids: dict[str, list[str]] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.key)

    def put(self, kind: str, *values: str) -> None:
        self.ids.setdefault(kind, []).extend(values)


async def holdings_of(service: Service, tenant: str, *, word: str, receiver_url: str) -> Holdings:
    """Creates a tenant with one of everything, and waits until its first jobs have ended."""
    await make_tenant(service, tenant)
    made = await make_key(service, *SCOPES, tenant=tenant, name=word)
    filling = _Filling(service, Holdings(tenant, word, made["key"]), f"{receiver_url}/{word}")
    filling.holdings.put("tenant", tenant)
    filling.holdings.put("keyId", made["keyId"])
    await filling.control()
    await filling.webhooks()
    await filling.jobs()
    await filling.others()
    return filling.holdings


class _Filling:
    """Creates the holdings of one tenant over HTTP."""

    def __init__(self, service: Service, holdings: Holdings, url: str) -> None:
        self._service, self.holdings, self._url = service, holdings, url
        self._word = holdings.word

    async def _send(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        sent = {} if body is None else {"json": body}
        answer = await self._service.client.request(method, path, headers=self.holdings.headers | headers, **sent)
        assert answer.is_success, (method, path, answer.text)
        result: dict[str, Any] = answer.json()
        return result

    def _job(self, type_: str = "echo", **members: Any) -> dict[str, Any]:
        parameters = {"text": self._word, "name": self._word}
        return {"type": type_, "parameters": parameters, "labels": {"customer": self._word}, **members}

    async def control(self) -> None:
        """Sets limits, pauses a queue, and declares a job type."""
        queue = f"{self._word}-queue"
        await self._send("PUT", f"/api/v1/queues/{queue}/limits", {"concurrency": 7})
        await self._send("POST", f"/api/v1/queues/{queue}/pause")
        await self._send("PUT", "/api/v1/job-types/plain/limits", {"concurrency": 7})
        await self._send("PUT", "/api/v1/limits", {"backlogs": {queue: 777}})
        self.holdings.put("queue", queue)
        type_ = f"{self._word}-type"
        await self._send("PUT", f"/api/v1/job-types/{type_}", {"description": self._word, "timeoutSeconds": 3600})
        self.holdings.put("type", type_)

    async def webhooks(self) -> None:
        """Registers webhooks, with a delivery and a replay."""
        for number in range(2):
            hook = {"url": f"{self._url}/{number}", "events": ["*"], "description": self._word}
            made = await self._send("POST", "/api/v1/webhooks", hook | {"signatures": ["v1", "v1a"]})
            self.holdings.put("webhookId", made["webhookId"])
        path = f"/api/v1/webhooks/{self.holdings.ids['webhookId'][0]}"
        self.holdings.put("deliveryId", (await self._send("POST", f"{path}/test"))["deliveryId"])
        replay = await self._send("POST", f"{path}/replay", {"since": "2026-01-01T00:00:00.000Z"})
        self.holdings.put("replayId", replay["replayId"])

    async def jobs(self) -> None:
        """Submits jobs of every status, and a batch."""
        callback = {"callbackUrl": f"{self._url}/callback"}
        path = "/api/v1/jobs"
        for type_ in ("echo", "fail"):
            ended = await self._send("POST", path, self._job(type_, **callback), Prefer="wait=20")
            self.holdings.put("jobId", ended["jobId"])
        waiting = self._job(**IN_AN_HOUR, uniqueKey=self._word)
        running = self._job("wait-for-gate", concurrencyKey=self._word)
        paused = self._job(queue=self.holdings.ids["queue"][0])
        for job in (waiting, running, paused):
            made = await self._send("POST", path, job, **{"Idempotency-Key": f"{self._word}-{len(str(job))}"})
            self.holdings.put("jobId", made["jobId"])
        async with asyncio.timeout(BOUND_SECONDS):
            await has_entered(self._word).wait()
        for name in ("uniqueKey", "concurrencyKey"):
            self.holdings.put(name, self._word)
        self.holdings.put("idempotencyKey", f"{self._word}-{len(str(waiting))}")
        for name in ("a", "b"):
            await self._send("POST", f"{path}/{self.holdings.ids['jobId'][2]}/signals/{name}", self._word)
        await self._send("POST", path, self._job(self.holdings.ids["type"][0]))
        terms = {"types": self.holdings.ids["type"], "waitSeconds": 20, "leaseSeconds": 3600}
        leased = await self._send("POST", "/api/v1/leases", terms)
        self.holdings.put("leaseId", leased["leases"][0]["leaseId"])
        batch = {"jobs": [self._job(**IN_AN_HOUR)] * 2, "name": self._word, "then": self._job()}
        self.holdings.put("batchId", (await self._send("POST", "/api/v1/jobs/batch", batch))["batchId"])

    async def others(self) -> None:
        """Creates schedules and another key."""
        for number in range(2):
            schedule = {"name": f"{self._word}-{number}", "cron": "0 3 1 1 *", "submission": self._job()}
            await self._send("POST", "/api/v1/schedules", schedule)
            self.holdings.put("name", str(schedule["name"]))
        made = await self._send("POST", "/api/v1/keys", {"name": self._word, "scopes": ["jobs:read"]})
        self.holdings.put("keyId", made["keyId"])
        self.holdings.put("actor", self.holdings.ids["keyId"][0])
        for ticket in ({"all": True}, {"jobId": self.holdings.ids["jobId"][0]}):
            self.holdings.put("ticket", (await self._send("POST", "/api/v1/stream-tickets", ticket))["ticket"])


Rows = dict[str, list[str]]


async def rows_of(service: Service, tenant: str) -> Rows:
    """Returns the rows of a tenant that no loop of the service changes, as text, by table."""
    [[tenant_id]] = await service.sql("select tenant_id from tenants where name = $1", tenant)
    found = {}
    for table in sorted(TENANT_TABLES - CHANGING):
        statement = f"select t::text from {table} t where tenant_id = $1 order by 1"  # noqa: S608  # names of our own
        rows = await service.sql(statement, tenant_id)
        found[table] = [row[0] for row in rows]
    return found


async def settled_rows_of(service: Service, tenant: str) -> Rows:
    """Returns all rows of a tenant once webhooks are sent, replays have ended and the use of keys is noted."""

    async def sent() -> bool:
        [[left]] = await service.sql(
            "select (select count(*) from deliveries) + (select count(*) from replays where collected_at is null)"
        )
        return bool(left == 0)

    await eventually(sent)
    await service.node.key_verifier.step()
    return await rows_of(service, tenant)
