"""API keys of tests: made over HTTP with the key of the settings, and clients that send them."""

from collections.abc import Sequence
from typing import Any

from tests.support.service import Service

OWN = "a-long-and-secret-key"
ALL = ("jobs:read", "jobs:payload", "jobs:write", "webhooks", "schedules", "worker", "admin", "operator")


def bearer(key: str) -> dict[str, str]:
    """Returns the headers of a request with this key."""
    return {"Authorization": f"Bearer {key}"}


async def make_key(service: Service, *scopes: str, tenant: str = "default", **members: Any) -> dict[str, Any]:
    """Creates a key, with the key of the settings."""
    body = {"name": "test", "scopes": list(scopes), **members}
    headers = bearer(OWN) | {"X-Duly-Tenant": tenant}
    answer = await service.client.post("/api/v1/keys", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def make_tenant(service: Service, name: str, **limits: Any) -> dict[str, Any]:
    """Creates a tenant, with the key of the settings."""
    answer = await service.client.post("/api/v1/tenants", json={"tenant": name, **limits}, headers=bearer(OWN))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def audit_log(service: Service, *, tenant: str = "default", **filters: Any) -> Sequence[dict[str, Any]]:
    """Returns the newest entries of a tenant's audit log, oldest first."""
    headers = bearer(OWN) | {"X-Duly-Tenant": tenant}
    answer = await service.client.get("/api/v1/audit", params=filters, headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items[::-1]
