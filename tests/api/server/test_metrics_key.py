"""`/metrics` behind a key, where `DULY_METRICS_KEY` is set."""

from collections.abc import Awaitable, Callable

from tests.support.keys import OWN, bearer, make_key
from tests.support.response_checks import refused
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]


async def test_metrics_need_their_own_key_or_an_operators(start_service: StartService) -> None:
    service = await start_service(api_key=OWN, metrics_key="scraper")
    reader, operator = await make_key(service, "jobs:read", "admin"), await make_key(service, "operator")
    for headers in ({}, bearer("wrong"), bearer(reader["key"]), bearer(reader["key"])):
        refused(await service.client.get("/metrics", headers=headers), 401, "UNAUTHORIZED")
    for key in ("scraper", operator["key"], OWN):
        assert "duly_" in (await service.client.get("/metrics", headers=bearer(key))).text
    refused(await service.client.get("/api/v1/jobs", headers=bearer("scraper")), 401, "UNAUTHORIZED")
    assert (await service.client.get("/healthz")).status_code == 200


async def test_without_such_a_key_metrics_are_open(start_service: StartService) -> None:
    service = await start_service(api_key=OWN)
    assert (await service.client.get("/metrics")).status_code == 200
