"""`/api/v1/webhooks`: endpoints that receive webhooks about a tenant's jobs."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.cursors import id_in_cursor, write_cursor
from duly.api.contract.openapi_parts import json_body
from duly.api.contract.path_ids import id_in_path
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response
from duly.api.jobs.submission_reader import read_body
from duly.api.server.scope_values import actor_of, body_of, node_of, tenant_of
from duly.api.webhooks.endpoint_bodies import PATH, check_webhook_secret, endpoint_body, endpoint_members
from duly.api.webhooks.endpoint_models import (
    DisclosedWebhookBody,
    JwksBody,
    SecretRotation,
    SentTestBody,
    Webhook,
    WebhookBody,
    WebhookChange,
    WebhookEvent,
    WebhookPage,
    WebhookStatus,
)
from duly.domain.endpoint_events_and_headers import event_mask
from duly.domain.ids import LARGEST
from duly.domain.webhook_key_pair import to_jwk
from duly.store.webhooks.endpoints import Endpoint, Key, list_endpoints, read_endpoint, tenant_of_endpoint
from duly.webhooks.endpoints import EndpointWithSecret, no_such_endpoint

LIST = "webhooks"
JWKS_SECONDS = 300
NO_STORE = {"Cache-Control": "no-store"}
Statuses = Annotated[list[WebhookStatus], Query(max_length=50)]
Events = Annotated[
    list[WebhookEvent], Query(max_length=50, description="Webhooks that receive this event; repeat for several.")
]
router = APIRouter(prefix=PATH, tags=["webhooks"])


@router.get(
    "",
    operation_id="listWebhooks",
    summary="List webhooks",
    response_model=WebhookPage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("limit", "cursor", "status", "event")],
)
async def list_webhooks(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
    status: Statuses = [],  # noqa: B006  # FastAPI copies it
    event: Events = [],  # noqa: B006
) -> Response:
    """Returns the webhooks, newest first. Repeating a filter matches any of its values."""
    before = id_in_cursor(LIST, cursor, start=LARGEST)
    async with node_of(request).database.connection() as connection:
        found = await list_endpoints(
            *(connection, tenant_of(request)),
            before=before,
            events=event_mask(event, filtered=False),
            statuses=status or None,
            limit=limit + 1,
        )
    last = write_cursor(LIST, found[limit - 1].endpoint_id) if len(found) > limit else None
    items = [_body(request, endpoint) for endpoint in found[:limit]]
    return page_response(items, next_cursor=last, headers=dict(NO_STORE))


@router.post(
    "",
    operation_id="createWebhook",
    summary="Create a webhook",
    status_code=201,
    response_model=DisclosedWebhookBody,
    responses=error_responses(400, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("Webhook"),
)
async def create_webhook(request: Request) -> Response:
    """Registers a webhook. It receives events from now on. Only this response contains its secret."""
    body, node = read_body(request, Webhook), node_of(request)
    check_webhook_secret(body.secret)
    members = endpoint_members(body, node.settings.egress)
    return _disclosed(
        request, await node.endpoints.add(tenant_of(request), members, body.secret, by=actor_of(request)), 201
    )


@router.get(
    "/{webhookId}",
    operation_id="getWebhook",
    summary="Read a webhook",
    response_model=WebhookBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read_webhook(request: Request, webhookId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Returns a webhook, without its secret."""
    return _response(request, await _find(request, webhookId))


@router.patch(
    "/{webhookId}",
    operation_id="updateWebhook",
    summary="Change a webhook",
    response_model=WebhookBody,
    responses=error_responses(400, 404, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("WebhookChange"),
)
async def update_webhook(request: Request, webhookId: str) -> Response:  # noqa: N803
    """Changes a webhook. Pending deliveries go to the new URL, whose count of failures starts at zero."""
    key, node = _key(request, webhookId), node_of(request)
    members = endpoint_members(read_body(request, WebhookChange), node.settings.egress)
    return _response(request, await node.endpoints.change(key, members, by=actor_of(request)))


@router.delete(
    "/{webhookId}",
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    status_code=204,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def delete_webhook(request: Request, webhookId: str) -> Response:  # noqa: N803
    """Deletes a webhook. Its pending deliveries fail."""
    await node_of(request).endpoints.delete(_key(request, webhookId), by=actor_of(request))
    return Response(status_code=204)


@router.post(
    "/{webhookId}/test",
    operation_id="sendTestWebhook",
    summary="Send a test webhook",
    status_code=202,
    response_model=SentTestBody,
    responses=error_responses(404, 409, 422, 503),
    dependencies=[accepts_query()],
)
async def send_test_webhook(request: Request, webhookId: str) -> Response:  # noqa: N803
    """Sends a `webhook.test`, regardless of the webhook's filters. A paused webhook receives it once it is resumed."""
    sent = await node_of(request).endpoints.test(_key(request, webhookId))
    body = {"deliveryId": str(sent.delivery_id), "eventId": str(sent.event_id)}
    return json_response(orjson.dumps(body), 202)


@router.post(
    "/{webhookId}/rotate-secret",
    operation_id="rotateWebhookSecret",
    summary="Rotate the secret of a webhook",
    response_model=DisclosedWebhookBody,
    responses=error_responses(400, 404, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("SecretRotation", required=False),
)
async def rotate_webhook_secret(request: Request, webhookId: str) -> Response:  # noqa: N803
    """Signs with a new secret and, for 24 hours, with the present one too; likewise for key pairs (v1a).

    Only this response contains the new secret. A second rotation within that time drops the oldest secret.
    """
    key = _key(request, webhookId)
    secret = read_body(request, SecretRotation).secret if body_of(request) else None
    check_webhook_secret(secret)
    rotated = await node_of(request).endpoints.rotate(key, secret, by=actor_of(request))
    return _disclosed(request, rotated)


@router.get(
    "/{webhookId}/jwks.json",
    operation_id="getWebhookPublicKeys",
    summary="Read the public keys of a webhook",
    response_model=JwksBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra={"security": []},  # receivers have no API key
)
async def read_webhook_public_keys(request: Request, webhookId: str) -> Response:  # noqa: N803
    """Returns the public keys that verify the `v1a` signatures of a webhook. No API key is required."""
    endpoint = await _find_of_any_tenant(request, webhookId)
    keys = [to_jwk(public) for public in node_of(request).endpoints.public_keys(endpoint)]
    if not keys:
        raise no_such_endpoint()
    return json_response(orjson.dumps({"keys": keys}), headers={"Cache-Control": f"public, max-age={JWKS_SECONDS}"})


def _key(request: Request, text: str) -> Key:
    return tenant_of(request), id_in_path(text, "Webhook")


async def _find(request: Request, text: str) -> Endpoint:
    key = _key(request, text)
    async with node_of(request).database.connection() as connection:
        found = await read_endpoint(connection, key)
    if found is None:
        raise no_such_endpoint()
    return found


async def _find_of_any_tenant(request: Request, text: str) -> Endpoint:
    endpoint_id = id_in_path(text, "Webhook")
    async with node_of(request).database.connection() as connection:
        tenant_id = await tenant_of_endpoint(connection, endpoint_id)
        found = await read_endpoint(connection, (tenant_id, endpoint_id)) if tenant_id is not None else None
    if found is None:
        raise no_such_endpoint()
    return found


def _body(request: Request, endpoint: Endpoint) -> dict[str, object]:
    return endpoint_body(node_of(request).endpoints, endpoint)


def _response(request: Request, endpoint: Endpoint) -> Response:
    return json_response(orjson.dumps(_body(request, endpoint)), headers=dict(NO_STORE))


def _disclosed(request: Request, disclosed: EndpointWithSecret, status: int = 200) -> Response:
    """Returns the response that contains the secret."""
    body, headers = _body(request, disclosed.endpoint) | {"secret": disclosed.secret}, dict(NO_STORE)
    if status == 201:  # noqa: PLR2004  # created
        headers["Location"] = f"{PATH}/{disclosed.endpoint.endpoint_id}"
    return json_response(orjson.dumps(body), status, headers)
