"""Requests of tests of registered endpoints."""

from typing import Any

from tests.support.service import Service, eventually

WEBHOOKS = "/api/v1/webhooks"


async def register(service: Service, url: str, *events: str, **members: Any) -> str:
    """Registers a webhook and returns its id."""
    body = {"url": url, "events": list(events or ["job.completed"]), **members}
    answer = await service.client.post(WEBHOOKS, json=body)
    assert answer.status_code == 201, answer.text
    webhook_id: str = answer.json()["webhookId"]
    return webhook_id


async def deliveries_of(service: Service, webhook_id: str, **query: Any) -> list[dict[str, Any]]:
    """Returns all pages of a list, newest first."""
    shown: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await service.client.get(f"{WEBHOOKS}/{webhook_id}/deliveries", params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        shown += answer.json()["items"]
        if answer.json()["nextCursor"] is None:
            return shown
        cursor = {"cursor": answer.json()["nextCursor"]}


async def until_all_are(service: Service, webhook_id: str, status: str, *, number: int) -> list[dict[str, Any]]:
    """Returns the deliveries, newest first, once there is this number of them and all have this status."""

    async def look() -> list[dict[str, Any]] | None:
        shown = await deliveries_of(service, webhook_id)
        return shown if [each["status"] for each in shown] == [status] * number else None

    found: list[dict[str, Any]] = await eventually(look)
    return found
