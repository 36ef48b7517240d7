"""`/api/v1/webhooks/{webhookId}/replays`: sending again all failed deliveries of a webhook since a time."""

import orjson
from fastapi import APIRouter, Request, Response

from duly.api.contract.cursors import id_in_cursor, write_cursor
from duly.api.contract.openapi_parts import json_body
from duly.api.contract.path_ids import id_in_path
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response, time_or_none
from duly.api.jobs.submission_reader import read_body
from duly.api.server.scope_values import node_of, tenant_of
from duly.api.webhooks.deliveries import Limit, check_webhook
from duly.api.webhooks.delivery_models import ReplayBody, ReplayPageBody, ReplayRequest
from duly.domain.ids import LARGEST, parse_job_id
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, NotFound, PathError
from duly.store.webhooks.replays import Replay, list_replays, read_replay

router = APIRouter(prefix="/api/v1/webhooks/{webhookId}", tags=["deliveries"])


@router.post(
    "/replay",
    operation_id="createReplay",
    summary="Replay failed deliveries",
    status_code=202,
    response_model=ReplayBody,
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("ReplayRequest"),
)
async def create_replay(request: Request, webhookId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Sends again all deliveries created since a time that have failed, oldest first, with all their attempts."""
    webhook_id, node = id_in_path(webhookId, "Webhook"), node_of(request)
    body = read_body(request, ReplayRequest)
    if body.since > node.clock.now():
        raise Invalid.at([PathError("since", "must not be in the future")])
    replay = await node.replayer.begin(tenant_of(request), webhook_id, since=body.since)
    location = f"/api/v1/webhooks/{webhook_id}/replays/{replay.replay_id}"
    return json_response(orjson.dumps(_body(replay)), 202, {"Location": location})


@router.get(
    "/replays",
    operation_id="listReplays",
    summary="List the replays of a webhook",
    response_model=ReplayPageBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_replays_of_webhook(
    request: Request,
    webhookId: str,  # noqa: N803
    limit: Limit = 50,
    cursor: str | None = None,
) -> Response:
    """Returns the replays of a webhook, newest first."""
    webhook_id, tenant_id = id_in_path(webhookId, "Webhook"), tenant_of(request)
    list_name = f"replays of webhook {webhook_id}"
    before = id_in_cursor(list_name, cursor, start=LARGEST)
    async with node_of(request).database.connection() as connection:
        await check_webhook(connection, tenant_id, webhook_id)
        found = await list_replays(connection, tenant_id, webhook_id, before=before, limit=limit + 1)
    last = write_cursor(list_name, found[limit - 1].replay_id) if len(found) > limit else None
    return page_response([_body(each) for each in found[:limit]], next_cursor=last)


@router.get(
    "/replays/{replayId}",
    operation_id="getReplay",
    summary="Read a replay",
    response_model=ReplayBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read_one_replay(request: Request, webhookId: str, replayId: str) -> Response:  # noqa: N803
    """Returns the progress of a replay."""
    webhook_id, replay_id, tenant_id = id_in_path(webhookId, "Webhook"), parse_job_id(replayId), tenant_of(request)
    async with node_of(request).database.connection() as connection:
        await check_webhook(connection, tenant_id, webhook_id)
        found = replay_id and await read_replay(connection, (tenant_id, replay_id), webhook_id)
    if not found:
        raise NotFound("Replay not found.")
    return json_response(orjson.dumps(_body(found)))


def _body(replay: Replay) -> dict[str, object]:
    return {
        "replayId": str(replay.replay_id),
        "webhookId": str(replay.endpoint_id),
        "since": rfc3339(replay.since),
        "status": replay.status,
        "found": replay.found,
        "delivered": replay.delivered,
        "failed": replay.failed,
        "waiting": replay.waiting,
        "createdAt": rfc3339(replay.created_at),
        "collectedAt": time_or_none(replay.collected_at),
    }
