"""Registered endpoints for tests of deliveries."""

import json
from typing import Any
from uuid import UUID

from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Received, Receiver

PATH = "/api/v1/webhooks"


async def registered(service: Service, url: str, *events: str, **members: Any) -> dict[str, Any]:
    """Registers an endpoint for these events (default: all)."""
    body = {"url": url, "events": list(events) or ["*"], **members}
    answer = await service.client.post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def changed(service: Service, endpoint: dict[str, Any], **members: Any) -> dict[str, Any]:
    answer = await service.client.patch(f"{PATH}/{endpoint['webhookId']}", json=members)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def shown(service: Service, endpoint: dict[str, Any]) -> dict[str, Any]:
    answer = await service.client.get(f"{PATH}/{endpoint['webhookId']}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def sends_test(service: Service, endpoint: dict[str, Any]) -> dict[str, Any]:
    """Sends a `webhook.test`."""
    answer = await service.client.post(f"{PATH}/{endpoint['webhookId']}/test")
    assert answer.status_code == 202, answer.text
    sent: dict[str, Any] = answer.json()
    return sent


async def nothing_waits(service: Service) -> None:
    """Waits until the outbox is empty."""

    async def look() -> bool:
        return not await service.sql("select from deliveries limit 1")

    await eventually(look)


async def attempts(service: Service, endpoint: dict[str, Any], number: int) -> list[Any]:
    """Returns the delivery attempts at one endpoint in order, once there is this number of them."""
    statement = "select * from delivery_attempts where receiver_id = $1 order by attempted_at, sequence, attempt"

    async def look() -> list[Any] | None:
        rows = await service.sql(statement, UUID(endpoint["webhookId"]))
        return rows if len(rows) >= number else None

    rows: list[Any] = await eventually(look)
    assert len(rows) == number
    return rows


def all_of(receiver: Receiver) -> list[Received]:
    """Returns all requests received so far."""
    return [receiver.received.get_nowait() for _ in range(receiver.received.qsize())]


def types_of(received: list[Received]) -> list[str]:
    return [json.loads(each.body)["type"] for each in received]


class Looks:
    """Counts the queries of the dispatcher for due deliveries."""

    def __init__(self, service: Service) -> None:
        self.count = 0
        dispatcher: Any = service.node.dispatcher
        take = dispatcher._take

        async def counted(connection: Any) -> Any:
            found = await take(connection)
            self.count += 1
            return found

        dispatcher._take = counted
        self._dispatcher = dispatcher

    async def more(self, number: int = 3) -> None:
        """Waits for this number of further queries, by which time all possible deliveries have begun. They come at
        once, and include receivers that are held back.
        """
        wanted = self.count + number

        async def look() -> bool:
            self._dispatcher._gated_asked_at = float("-inf")
            self._dispatcher.wake()
            return self.count >= wanted

        await eventually(look)
