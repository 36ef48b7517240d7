"""`/api/v1/webhooks/{webhookId}/replays`: sending again all failed deliveries of a webhook since a time."""

from collections.abc import Sequence
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from duly.api.contract.cursors import id_in_cursor, write_cursor
from duly.api.contract.merged_pages import Page, away_headers, away_members, first_page, merged_page
from duly.api.contract.openapi_parts import json_body
from duly.api.contract.path_ids import id_in_path
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response, merged_response, page_response, time_or_none
from duly.api.jobs.submission_reader import read_body
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import node_of, tenant_of
from duly.api.webhooks.deliveries import Limit
from duly.api.webhooks.delivery_models import ReplayBody, ReplayPageBody, ReplayRequest
from duly.domain.ids import LARGEST, parse_job_id
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, NotFound, PathError
from duly.node import Node
from duly.store.webhooks.endpoints import read_endpoint
from duly.store.webhooks.replays import Replay, list_replays, read_replay
from duly.webhooks.endpoints import no_such_endpoint

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
    tenant_id, replay_id = tenant_of(request), node.clock.ids.new()
    found, away = await read_cells(
        request, lambda cell: cell.replayer.begin(tenant_id, webhook_id, since=body.since, replay_id=replay_id)
    )
    headers = {"Location": f"/api/v1/webhooks/{webhook_id}/replays/{replay_id}", **away_headers(away)}
    members = {**_body(joined(list(found.values()))), **away_members(away)}
    return json_response(orjson.dumps(members), 202, headers)


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

    async def read(node: Node) -> Page[Replay, UUID] | None:
        async with node.database.connection() as connection:
            if await read_endpoint(connection, (tenant_id, webhook_id)) is None:
                return None
            found = await list_replays(connection, tenant_id, webhook_id, before=before, limit=limit + 1)
        return first_page(found, limit=limit, key=_id_of)

    found, away = await read_cells(request, read)
    pages = [page for page in found.values() if page is not None]
    if not pages:
        raise no_such_endpoint()
    page = merged_page(pages, limit=limit, key=_id_of, combine=joined)
    last = write_cursor(list_name, page.reached) if page.reached is not None else None
    return page_response([_body(each) for each in page.items], next_cursor=last, away=away)


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

    async def read(node: Node) -> tuple[bool, Replay | None]:
        async with node.database.connection() as connection:
            if await read_endpoint(connection, (tenant_id, webhook_id)) is None:
                return False, None
            key = (tenant_id, replay_id) if replay_id is not None else None
            return True, await read_replay(connection, key, webhook_id) if key is not None else None

    found, away = await read_cells(request, read)
    if not any(known for known, _ in found.values()):
        raise no_such_endpoint()
    parts = [replay for _, replay in found.values() if replay is not None]
    if not parts:
        raise NotFound("Replay not found.")
    return merged_response(_body(joined(parts)), away=away)


def _id_of(replay: Replay) -> UUID:
    return replay.replay_id


def joined(parts: Sequence[Replay]) -> Replay:
    """Returns a replay of which each cell has a part: the deliveries of its jobs."""
    unfinished = any(part.collected_at is None for part in parts)
    return parts[0]._replace(
        created_at=min(part.created_at for part in parts),
        collected_at=None if unfinished else max(part.collected_at for part in parts if part.collected_at is not None),
        found=sum(part.found for part in parts),
        delivered=sum(part.delivered for part in parts),
        failed=sum(part.failed for part in parts),
    )


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
