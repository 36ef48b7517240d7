"""The health of a webhook: its circuit, its pending deliveries, and how its newest deliveries ended."""

from collections.abc import Callable
from typing import Any

from duly.api.webhooks.endpoint_models import WebhookHealthBody
from duly.domain.ids import new_job_id
from tests.support.endpoints import WEBHOOKS, register, until_all_are
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Any]


async def health(service: Service, webhook_id: str) -> dict[str, Any]:
    response = await service.client.get(f"{WEBHOOKS}/{webhook_id}/health")
    assert response.status_code == 200, response.text
    WebhookHealthBody.model_validate_json(response.content, strict=True)
    body: dict[str, Any] = response.json()
    return body


async def test_health_counts_how_the_newest_deliveries_ended(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service(webhook_retry_seconds=())
    webhook_id = await register(service, receiver.url)
    assert await health(service, webhook_id) == {
        "webhookId": webhook_id,
        "status": "enabled",
        "circuit": (await service.client.get(f"{WEBHOOKS}/{webhook_id}")).json()["circuit"],
        "pending": 0,
        "recent": 0,
        "delivered": 0,
        "failed": 0,
        "successRate": None,
        "lastDeliveredAt": None,
        "lastFailedAt": None,
    }
    for _ in range(2):
        await service.run("echo")
    delivered = await until_all_are(service, webhook_id, "delivered", number=2)
    shown = await health(service, webhook_id)
    assert (shown["delivered"], shown["failed"], shown["successRate"]) == (2, 0, 1.0)
    assert shown["lastDeliveredAt"] == max(each["completedAt"] for each in delivered)
    receiver.statuses = [500]
    redelivered = delivered[0]["deliveryId"]
    await service.client.post(f"/api/v1/deliveries/{redelivered}/redeliver")

    async def failed() -> bool:
        return bool((await health(service, webhook_id))["failed"])

    await eventually(failed)
    shown = await health(service, webhook_id)
    assert (shown["recent"], shown["delivered"], shown["failed"], shown["successRate"]) == (2, 1, 1, 0.5)
    assert shown["lastFailedAt"] > shown["lastDeliveredAt"]
    assert shown["circuit"]["lastError"] == "the receiver answered 500"


async def test_health_counts_what_waits_and_tells_endpoints_apart(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service()
    paused, other = [await register(service, receiver.url, paused=pause) for pause in (True, False)]
    await service.run("echo")
    await until_all_are(service, other, "delivered", number=1)
    shown = await health(service, paused)
    assert (shown["status"], shown["pending"], shown["recent"]) == ("paused", 1, 0)
    shown = await health(service, other)
    assert (shown["status"], shown["pending"], shown["recent"]) == ("enabled", 0, 1)


async def test_an_unknown_webhook_has_no_health(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service()
    for unknown in (str(new_job_id()), "x"):
        refused(await service.client.get(f"{WEBHOOKS}/{unknown}/health"), 404, "NOT_FOUND")
    webhook_id = await register(service, receiver.url)
    assert invalid_paths(await service.client.get(f"{WEBHOOKS}/{webhook_id}/health?limit=1")) == ["limit"]
