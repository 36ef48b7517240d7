"""Deliveries: lists by webhook and by job, one delivery with its attempts, and redelivery."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.cursors import id_in_cursor, write_cursor
from duly.api.contract.merged_pages import Page, merged_page
from duly.api.contract.path_ids import id_in_path, job_id_in_path
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response, time_or_none
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import node_of, tenant_of
from duly.api.webhooks.delivery_models import (
    DeliveryBody,
    DeliveryPageBody,
    DeliveryQuery,
    WholeDeliveryBody,
)
from duly.domain.event_views import WEBHOOK_EVENT_OF
from duly.domain.ids import LARGEST, SMALLEST, event_id_text, made_at, smallest_id_at
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
    read_attempts,
    read_endpoint_page,
    read_job_page,
    view_delivery,
)
from duly.store.webhooks.endpoints import read_endpoint
from duly.webhooks.endpoints import no_such_endpoint

EVENT_OF: dict[int, str] = {int(kind): name for kind, name in (WEBHOOK_EVENT_OF | MESSAGE_EVENTS).items()}
TIMED = 7  # version of ids that contain their time
Limit = Annotated[int, Query(ge=1, le=200)]
router = APIRouter(prefix="/api/v1", tags=["deliveries"])


@router.get(
    "/webhooks/{webhookId}/deliveries",
    operation_id="listWebhookDeliveries",
    summary="List the deliveries of a webhook",
    response_model=DeliveryPageBody,
    responses=error_responses(404, 422, 503),
)
async def list_webhook_deliveries(
    request: Request,
    webhookId: str,  # noqa: N803  # the contract's spelling
    query: Annotated[DeliveryQuery, Query()],
) -> Response:
    """Returns the deliveries of a webhook, newest first.

    A page may be short or empty and still have a `nextCursor`: a search that takes too long returns what it has found
    so far. Continue with the cursor.
    """
    webhook_id, tenant_id = id_in_path(webhookId, "Webhook"), tenant_of(request)
    list_name = f"deliveries of webhook {webhook_id}"
    chosen = _filter(query, before=id_in_cursor(list_name, query.cursor, start=LARGEST))

    async def read(node: Node) -> DeliveryPage | None:
        async with node.database.connection() as connection:
            if await read_endpoint(connection, (tenant_id, webhook_id)) is None:
                return None
            return await read_endpoint_page(connection, tenant_id, webhook_id, chosen, limit=query.limit)

    found, away = await read_cells(request, read)
    pages = [Page(*page) for page in found.values() if page is not None]
    if not pages:
        raise no_such_endpoint()
    merged = merged_page(pages, limit=query.limit, key=_id_of)
    return _page(DeliveryPage(list(merged.items), merged.reached), list_name, away=away)


@router.get(
    "/jobs/{jobId}/deliveries",
    operation_id="listJobDeliveries",
    summary="List the deliveries of a job",
    response_model=DeliveryPageBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_job_deliveries(
    request: Request,
    jobId: str,  # noqa: N803
    limit: Limit = 50,
    cursor: str | None = None,
) -> Response:
    """Returns the deliveries of a job, to its `callbackUrl` and to webhooks, newest first."""
    job_id, tenant_id = job_id_in_path(jobId), tenant_of(request)
    list_name = f"deliveries of job {job_id}"
    before = id_in_cursor(list_name, cursor, start=LARGEST)
    async with node_of(request).database.connection() as connection:
        if not await job_exists(connection, tenant_id, job_id):
            raise NotFound("Job not found.")
        page = await read_job_page(connection, tenant_id, job_id, before=before, limit=limit)
    return _page(page, list_name)


@router.get(
    "/deliveries/{deliveryId}",
    operation_id="getDelivery",
    summary="Read a delivery",
    response_model=WholeDeliveryBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read_delivery(request: Request, deliveryId: str) -> Response:  # noqa: N803
    """Returns one delivery with all its attempts."""
    delivery_id, tenant_id = id_in_path(deliveryId, "Delivery"), tenant_of(request)
    async with node_of(request).database.connection() as connection:
        view = await _find_delivery(connection, tenant_id, delivery_id)
        attempts = await read_attempts(connection, tenant_id, view)
    return json_response(orjson.dumps({**_body(view), "attempts": [_attempt(each) for each in attempts]}))


@router.post(
    "/deliveries/{deliveryId}/redeliver",
    operation_id="redeliverDelivery",
    summary="Redeliver a delivery",
    status_code=202,
    response_model=DeliveryBody,
    responses=error_responses(404, 409, 422, 503),
    dependencies=[accepts_query()],
)
async def redeliver_delivery(request: Request, deliveryId: str) -> Response:  # noqa: N803
    """Sends a delivery again, under the same `webhook-id` and with all its attempts. One that waits is sent at once.

    409 `DELIVERY_IN_FLIGHT`, retryable, while an attempt is in progress.
    """
    delivery_id, node, tenant_id = id_in_path(deliveryId, "Delivery"), node_of(request), tenant_of(request)
    await redeliver(node.database, node.wakeups, (tenant_id, delivery_id))
    async with node.database.connection() as connection:
        view = await _find_delivery(connection, tenant_id, delivery_id)
    return json_response(orjson.dumps(_body(view)), 202, {"Location": f"/api/v1/deliveries/{delivery_id}"})


async def _find_delivery(connection: Connection, tenant_id: int, delivery_id: UUID) -> DeliveryView:
    view = await view_delivery(connection, tenant_id, delivery_id)
    if view is None:
        raise NotFound("Delivery not found.")
    return view


def _filter(query: DeliveryQuery, *, before: UUID) -> DeliveryFilter:
    until = smallest_id_at(query.until) if query.until is not None else LARGEST
    return DeliveryFilter(
        before=min(until, before),
        since=smallest_id_at(query.since) if query.since is not None else SMALLEST,
        statuses=frozenset(query.status) or None,
        kinds=[kind for kind, name in EVENT_OF.items() if name in query.event] or None,
    )


def _id_of(view: DeliveryView) -> UUID:
    return view.delivery_id


def _page(page: DeliveryPage, list_name: str, *, away: Sequence[int] = ()) -> Response:
    last = write_cursor(list_name, page.next) if page.next is not None else None
    return page_response([_body(view) for view in page.deliveries], next_cursor=last, away=away)


def _body(view: DeliveryView) -> dict[str, object]:
    of_job = view.kind < min(MessageKind)
    created = made_at(view.delivery_id) if view.delivery_id.version == TIMED else view.known_since
    return {
        "deliveryId": str(view.delivery_id),
        "webhookId": str(view.receiver_id) if view.registered else None,
        "jobId": str(view.job_id) if of_job else None,
        "eventId": event_id_text(view.job_id, view.sequence),
        "eventType": EVENT_OF[view.kind],
        "sequence": view.sequence if of_job else None,
        "url": view.url,
        "status": view.status,
        "attemptCount": view.attempts,
        "nextAttemptAt": time_or_none(view.next_at),
        "createdAt": rfc3339(created),
        "completedAt": time_or_none(view.completed_at),
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
