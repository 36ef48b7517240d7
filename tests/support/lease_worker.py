"""Worker over HTTP of the tests: claims, heartbeats and ends, as any client in another language sends them."""

from typing import Any

import httpx

from tests.support.service import ServiceClient

LEASES = "/api/v1/leases"


async def claim(service: ServiceClient, *types: str, **members: Any) -> list[dict[str, Any]]:
    """Returns the leases of claimed jobs; without `waitSeconds`, waits some seconds for one."""
    body = {"types": list(types) or ["echo"], "waitSeconds": 10, **members}
    headers = body.pop("headers", None)
    answer = await service.client.post(LEASES, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    leases: list[dict[str, Any]] = answer.json()["leases"]
    return leases


async def claim_one(service: ServiceClient, *types: str, **members: Any) -> dict[str, Any]:
    """Returns the lease of one claimed job; waits for it as long as a claim may."""
    [lease] = await claim(service, *types, **{"max": 1, "waitSeconds": 50, **members})
    return lease


async def post(service: ServiceClient, lease: dict[str, Any], verb: str, body: Any = None) -> httpx.Response:
    """Returns the response to a request for a lease."""
    return await service.client.post(f"{LEASES}/{lease['leaseId']}/{verb}", json=body)
