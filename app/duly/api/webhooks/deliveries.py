"""Section 4 of the contract: what was delivered and what was not, try by try, and sending one again."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Response

from duly.api.contract.cursors import read_cursor, write_cursor
from duly.api.contract.response_models import failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.jobs import tenant_job
from duly.api.webhooks.delivery_models import (
    DeliveryBody,
    DeliveryPageBody,
    DeliveryQuery,
    WholeDeliveryBody,
)
from duly.domain.event_views import WEBHOOK_EVENT_OF
from duly.domain.ids import LARGEST, SMALLEST, event_id, made_at, parse_job_id, smallest_id_at
from duly.domain.job import DEFAULT_TENANT
from duly.domain.timestamps import rfc3339
from duly.domain.webhook_events import MESSAGE_EVENTS, MessageKind
from duly.errors import NotFound
from duly.lifecycle.maintenance.redeliver import redeliver
from duly.node import Node
from duly.store.ledger.job_logs import job_exists
from duly.store.postgres.database import Connection
from duly.store.webhooks.delivery_lists import (
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryPage,
    DeliveryView,
    attempts_of,
    page_of_endpoint,
    page_of_job,
    view_delivery,
)
from duly.store.webhooks.endpoints import read_endpoint
from duly.webhooks.endpoints import no_such_endpoint

EVENT_OF: dict[int, str] = {int(kind): name for kind, name in (WEBHOOK_EVENT_OF | MESSAGE_EVENTS).items()}
TIMED = 7  # the version of ids that tell their time
Limit = Annotated[int, Query(ge=1, le=200)]


def deliveries_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1", tags=["deliveries"])
    _add_lists(router, node)
    _add_one(router, node)
    return router


def _add_lists(router: APIRouter, node: Node) -> None:
    @router.get(
        "/webhooks/{webhookId}/deliveries",
        operation_id="listWebhookDeliveries",
        response_model=DeliveryPageBody,
        responses=failures(404, 422, 503),
    )
    async def list_deliveries_of_webhook(
        webhookId: str,  # noqa: N803  # the contract's spelling
        wanted: Annotated[DeliveryQuery, Query()],
    ) -> Response:
        """A webhook's deliveries, newest first.

        A page is short, or even empty, and yet has a `nextCursor` where the search took too long: go on with that.
        """
        endpoint_id, list_ = named_endpoint(webhookId), f"deliveries of webhook {webhookId.lower()}"
        chosen = _filter(wanted, list_)
        async with node.database.connection() as connection:
            await check_endpoint(connection, endpoint_id)
            page = await page_of_endpoint(connection, DEFAULT_TENANT, endpoint_id, chosen, limit=wanted.limit)
        return _page(page, list_)

    @router.get(
        "/jobs/{jobId}/deliveries",
        operation_id="listJobDeliveries",
        response_model=DeliveryPageBody,
        responses=failures(404, 422, 503),
        dependencies=[only("limit", "cursor")],
    )
    async def list_deliveries_of_job(jobId: str, limit: Limit = 50, cursor: str | None = None) -> Response:  # noqa: N803
        """A job's deliveries, to its `callbackUrl` and to webhooks, newest first."""
        parsed, list_ = tenant_job(jobId), f"deliveries of job {jobId.lower()}"
        before = read_before(list_, cursor)
        async with node.database.connection() as connection:
            if not await job_exists(connection, DEFAULT_TENANT, parsed):
                raise NotFound("There is no such job.")
            page = await page_of_job(connection, DEFAULT_TENANT, parsed, before=before, limit=limit)
        return _page(page, list_)


def _add_one(router: APIRouter, node: Node) -> None:
    @router.get(
        "/deliveries/{deliveryId}",
        operation_id="getDelivery",
        response_model=WholeDeliveryBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def read_delivery(deliveryId: str) -> Response:  # noqa: N803
        """One delivery, with every attempt."""
        delivery_id = _delivery_id(deliveryId)
        async with node.database.connection() as connection:
            view = await _view(connection, delivery_id)
            attempts = await attempts_of(connection, DEFAULT_TENANT, view)
        return json_answer(orjson.dumps({**_body(view), "attempts": [_attempt(each) for each in attempts]}))

    @router.post(
        "/deliveries/{deliveryId}/redeliver",
        operation_id="redeliverDelivery",
        status_code=202,
        response_model=DeliveryBody,
        responses=failures(404, 409, 422, 503),
        dependencies=[only()],
    )
    async def redeliver_one(deliveryId: str) -> Response:  # noqa: N803
        """Send a delivery again, under the same `webhook-id`, and with all retries anew; one that waits goes at once.

        409 `DELIVERY_IN_FLIGHT`, retryable, while it is being sent.
        """
        delivery_id = _delivery_id(deliveryId)
        await redeliver(node.database, node.wakeups, (DEFAULT_TENANT, delivery_id))
        async with node.database.connection() as connection:
            view = await _view(connection, delivery_id)
        return json_answer(orjson.dumps(_body(view)), 202, {"Location": f"/api/v1/deliveries/{delivery_id}"})


def named_endpoint(text: str) -> UUID:
    """The webhook that a path names. What is no id is answered like one that does not exist."""
    endpoint_id = parse_job_id(text)
    if endpoint_id is None:
        raise no_such_endpoint()
    return endpoint_id


async def check_endpoint(connection: Connection, endpoint_id: UUID) -> None:
    """Raises NotFound where this tenant has no such webhook."""
    if await read_endpoint(connection, (DEFAULT_TENANT, endpoint_id)) is None:
        raise no_such_endpoint()


def _delivery_id(text: str) -> UUID:
    delivery_id = parse_job_id(text)
    if delivery_id is None:
        raise NotFound("There is no such delivery.")
    return delivery_id


async def _view(connection: Connection, delivery_id: UUID) -> DeliveryView:
    view = await view_delivery(connection, DEFAULT_TENANT, delivery_id)
    if view is None:
        raise NotFound("There is no such delivery.")
    return view


def read_before(list_: str, cursor: str | None) -> UUID:
    """Where the page begins: before this id."""
    return UUID(bytes=read_cursor(list_, cursor)) if cursor is not None else LARGEST


def _filter(wanted: DeliveryQuery, list_: str) -> DeliveryFilter:
    until = smallest_id_at(wanted.until) if wanted.until is not None else LARGEST
    return DeliveryFilter(
        before=min(until, read_before(list_, wanted.cursor)),
        since=smallest_id_at(wanted.since) if wanted.since is not None else SMALLEST,
        statuses=frozenset(wanted.status) or None,
        kinds=[kind for kind, name in EVENT_OF.items() if name in wanted.event] or None,
    )


def _page(page: DeliveryPage, list_: str) -> Response:
    following = write_cursor(list_, page.next.bytes) if page.next is not None else None
    items = [_body(view) for view in page.deliveries]
    return json_answer(orjson.dumps({"items": items, "nextCursor": following}))


def _body(view: DeliveryView) -> dict[str, object]:
    of_job = view.kind < min(MessageKind)
    made = made_at(view.delivery_id) if view.delivery_id.version == TIMED else view.known_since
    return {
        "deliveryId": str(view.delivery_id),
        "webhookId": str(view.receiver_id) if view.registered else None,
        "jobId": str(view.job_id) if of_job else None,
        "eventId": str(event_id(view.job_id, view.sequence)),
        "eventType": EVENT_OF[view.kind],
        "sequence": view.sequence if of_job else None,
        "url": view.url,
        "status": view.status,
        "attemptCount": view.attempts,
        "nextAttemptAt": _time(view.next_at),
        "createdAt": rfc3339(made),
        "completedAt": _time(view.completed_at),
        "lastStatusCode": view.last_status_code,
        "lastError": view.last_error,
    }


def _attempt(attempt: DeliveryAttempt) -> dict[str, object]:
    return {
        "attempt": attempt.number,
        "attemptedAt": rfc3339(attempt.ended_at - timedelta(milliseconds=attempt.duration_ms)),
        "durationMs": attempt.duration_ms,
        "statusCode": attempt.status_code,
        "answer": attempt.answer,
        "error": attempt.error,
    }


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None
