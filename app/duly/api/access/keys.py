"""`/api/v1/keys`: API keys of a tenant."""

from datetime import UTC, datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.access.key_models import DisclosedKeyBody, KeyPage, KeyRequest, KeyRotation
from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.openapi_parts import json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response
from duly.api.jobs.submission_reader import read_body
from duly.api.server.scope_values import actor_of, body_of, node_of, principal_of, tenant_of
from duly.domain.api_key import KEY_ID
from duly.domain.key_scope import KeyScope
from duly.domain.principal import KeyRate
from duly.errors import Invalid, NotFound, PathError
from duly.lifecycle.access.keys import OVERLAP_SECONDS as DEFAULT_OVERLAP_SECONDS
from duly.lifecycle.access.keys import DisclosedKey, KeyManager, create_key, key_members, revoke, rotate
from duly.node import Node
from duly.store.access.api_keys import KeyRecord, KeyRights, list_keys

PATH = "/api/v1/keys"
LIST = "keys"
END = datetime(9999, 1, 1, tzinfo=UTC)
NO_STORE = {"Cache-Control": "no-store"}
router = APIRouter(prefix=PATH, tags=["keys"])


@router.get(
    "",
    operation_id="listKeys",
    summary="List API keys",
    response_model=KeyPage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_all(
    request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> Response:
    """Returns the keys that were not revoked, newest first, without their secrets."""
    before = _position(cursor)
    async with node_of(request).database.connection() as connection:
        found = await list_keys(connection, tenant_of(request), before=before, limit=limit + 1)
    last = write_cursor(LIST, _written(found[limit - 1])) if len(found) > limit else None
    return page_response([key_members(record) for record in found[:limit]], next_cursor=last, headers=dict(NO_STORE))


@router.post(
    "",
    operation_id="createKey",
    summary="Create an API key",
    status_code=201,
    response_model=DisclosedKeyBody,
    responses=error_responses(400, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("KeyRequest"),
)
async def create(request: Request) -> Response:
    """Creates a key. Only this response contains it. A key with the scope `operator` can be created by an operator
    only.
    """
    body, node = read_body(request, KeyRequest), node_of(request)
    if body.expiresAt is not None and body.expiresAt <= node.clock.now():
        raise Invalid.at([PathError("expiresAt", "must be in the future")])
    rights = KeyRights(
        name=body.name,
        scopes=frozenset(KeyScope(scope) for scope in body.scopes),
        types=body.types,
        queues=body.queues,
        rate=KeyRate(body.rate.count, body.rate.seconds) if body.rate is not None else None,
        expires_at=body.expiresAt,
    )
    created = await create_key(node.database, tenant_of(request), rights, by=_manager(request))
    return await _disclosed(node, created)


@router.delete(
    "/{keyId}",
    operation_id="revokeKey",
    summary="Revoke an API key",
    status_code=204,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def delete(request: Request, keyId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Revokes a key. It is refused, and its open streams and sockets end, within 5 seconds on all nodes."""
    node = node_of(request)
    await revoke(node.database, tenant_of(request), _id(keyId), by=_manager(request))
    await _changed(node)
    return Response(status_code=204)


@router.post(
    "/{keyId}/rotate",
    operation_id="rotateKey",
    summary="Rotate an API key",
    status_code=201,
    response_model=DisclosedKeyBody,
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("KeyRotation", required=False),
)
async def rotate_one(request: Request, keyId: str) -> Response:  # noqa: N803
    """Creates a key with the same rights. The old key stays valid for `overlapSeconds`, a day by default."""
    seconds = read_body(request, KeyRotation).overlapSeconds if body_of(request) else DEFAULT_OVERLAP_SECONDS
    node, by = node_of(request), _manager(request)
    created = await rotate(node.database, tenant_of(request), _id(keyId), overlap_seconds=seconds, by=by)
    return await _disclosed(node, created)


def _manager(request: Request) -> KeyManager:
    return KeyManager(actor_of(request), principal_of(request).scopes)


async def _disclosed(node: Node, created: DisclosedKey) -> Response:
    """Returns the response that contains the key."""
    await _changed(node)
    body = {**key_members(created.record), "key": created.text}
    headers = {**NO_STORE, "Location": f"{PATH}/{created.record.key_id}"}
    return json_response(orjson.dumps(body), 201, headers)


async def _changed(node: Node) -> None:
    """Applies a change on this node at once, and notifies the others."""
    await node.key_verifier.step()
    node.wakeups.keys()


def _id(text: str) -> str:
    """Returns the id of a key in a path. A malformed one gets the response of an unknown one."""
    if not KEY_ID.fullmatch(text):
        raise NotFound("API key not found.")
    return text


def _position(cursor: str | None) -> tuple[datetime, str]:
    text = name_in_cursor(LIST, cursor)
    created_at, _, key_id = text.partition(" ")
    return (datetime.fromisoformat(created_at), key_id) if text else (END, "")


def _written(record: KeyRecord) -> str:
    return f"{record.created_at.isoformat()} {record.key_id}"
