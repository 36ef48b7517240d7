"""Section 4 of the contract: sending again all that a webhook failed to take, and how far that is."""

import orjson
from fastapi import APIRouter, Request, Response

from duly.api.contract.cursors import write_cursor
from duly.api.contract.openapi_parts import takes
from duly.api.contract.response_models import failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.webhooks.deliveries import Limit, check_endpoint, named_endpoint, read_before
from duly.api.webhooks.delivery_models import ReplayAsked, ReplayBody, ReplayPageBody
from duly.domain.ids import parse_job_id
from duly.domain.job import DEFAULT_TENANT
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, NotFound, PathError
from duly.node import Node
from duly.store.webhooks.replays import Replay, list_replays, read_replay


def replays_router(node: Node, reader: SubmissionReader) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/webhooks/{webhookId}", tags=["deliveries"])

    @router.post(
        "/replay",
        operation_id="createReplay",
        status_code=202,
        response_model=ReplayBody,
        responses=failures(400, 404, 409, 413, 415, 422, 503),
        dependencies=[only()],
        openapi_extra=takes("ReplayAsked"),
    )
    async def begin_replay(request: Request, webhookId: str) -> Response:  # noqa: N803
        """Send again what was made since then and failed, the oldest first, with all retries anew."""
        endpoint_id = named_endpoint(webhookId)
        asked = reader.read_as(ReplayAsked, request.scope["duly.body"], request.scope["duly.headers"])
        if asked.since > node.clock.now():
            raise Invalid.at([PathError("since", "lies in the future")])
        replay = await node.replayer.begin(DEFAULT_TENANT, endpoint_id, since=asked.since)
        location = f"/api/v1/webhooks/{endpoint_id}/replays/{replay.replay_id}"
        return json_answer(orjson.dumps(_replay(replay)), 202, {"Location": location})

    @router.get(
        "/replays",
        operation_id="listReplays",
        response_model=ReplayPageBody,
        responses=failures(404, 422, 503),
        dependencies=[only("limit", "cursor")],
    )
    async def list_replays_of_webhook(
        webhookId: str,  # noqa: N803
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> Response:
        """A webhook's replays, newest first."""
        endpoint_id, list_ = named_endpoint(webhookId), f"replays of webhook {webhookId.lower()}"
        before = read_before(list_, cursor)
        async with node.database.connection() as connection:
            await check_endpoint(connection, endpoint_id)
            found = await list_replays(connection, DEFAULT_TENANT, endpoint_id, before=before, limit=limit + 1)
        last = write_cursor(list_, found[limit - 1].replay_id.bytes) if len(found) > limit else None
        return json_answer(orjson.dumps({"items": [_replay(each) for each in found[:limit]], "nextCursor": last}))

    @router.get(
        "/replays/{replayId}",
        operation_id="getReplay",
        response_model=ReplayBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def read_one_replay(webhookId: str, replayId: str) -> Response:  # noqa: N803
        """How far a replay is."""
        endpoint_id, replay_id = named_endpoint(webhookId), parse_job_id(replayId)
        async with node.database.connection() as connection:
            await check_endpoint(connection, endpoint_id)
            found = replay_id and await read_replay(connection, (DEFAULT_TENANT, replay_id), endpoint_id)
        if not found:
            raise NotFound("There is no such replay.")
        return json_answer(orjson.dumps(_replay(found)))

    return router


def _replay(replay: Replay) -> dict[str, object]:
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
        "collectedAt": rfc3339(replay.collected_at) if replay.collected_at is not None else None,
    }
