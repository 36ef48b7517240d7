"""`/api/v1/webhooks`: endpoints that a tenant registers, to be told of its jobs."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.cursors import read_cursor, write_cursor
from duly.api.contract.openapi_parts import takes
from duly.api.contract.response_models import failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.queues.flow_control import StartLimits
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
from duly.domain.egress_policy import EgressPolicy, url_refusal
from duly.domain.ids import LARGEST, parse_job_id
from duly.domain.job import DEFAULT_TENANT
from duly.domain.signing_key import to_jwk
from duly.domain.timestamps import rfc3339
from duly.domain.webhook_filters import event_errors, event_mask, event_names, header_errors
from duly.domain.webhook_secret import check_secret
from duly.errors import Invalid, PathError
from duly.node import Node
from duly.store.queue.limits import FlowLimits, Rate
from duly.store.webhooks.endpoints import Endpoint, Key, list_endpoints, read_endpoint
from duly.webhooks.endpoints import EndpointChange, EndpointWithSecret, no_such_endpoint

PATH = "/api/v1/webhooks"
JWKS_SECONDS = 300
NO_STORE = {"Cache-Control": "no-store"}
Statuses = Annotated[list[WebhookStatus], Query(max_length=50)]
Events = Annotated[list[WebhookEvent], Query(max_length=50, description="those that hear of any of these")]


def webhooks_router(node: Node, reader: SubmissionReader) -> APIRouter:
    """The routes of this section, but for those of deliveries."""
    router = APIRouter(prefix=PATH, tags=["webhooks"])

    @router.get(
        "",
        operation_id="listWebhooks",
        response_model=WebhookPage,
        responses=failures(422, 503),
        dependencies=[only("limit", "cursor", "status", "event")],
    )
    async def list_webhooks(
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: str | None = None,
        status: Statuses = [],  # noqa: B006  # FastAPI copies it
        event: Events = [],  # noqa: B006
    ) -> Response:
        """All webhooks, newest first. A filter that is named twice takes either."""
        before = UUID(bytes=read_cursor("webhooks", cursor)) if cursor is not None else LARGEST
        async with node.database.connection() as connection:
            found = await list_endpoints(
                connection,
                DEFAULT_TENANT,
                before=before,
                events=event_mask(event, filtered=False),
                statuses=status or None,
                limit=limit + 1,
            )
        last = write_cursor("webhooks", found[limit - 1].endpoint_id.bytes) if len(found) > limit else None
        items = [_body(node, endpoint) for endpoint in found[:limit]]
        return json_answer(orjson.dumps({"items": items, "nextCursor": last}), headers=dict(NO_STORE))

    @router.post(
        "",
        operation_id="createWebhook",
        status_code=201,
        response_model=DisclosedWebhookBody,
        responses=failures(400, 409, 413, 415, 422, 503),
        dependencies=[only()],
        openapi_extra=takes("Webhook"),
    )
    async def add_webhook(request: Request) -> Response:
        """Register a webhook. It is told of what happens from now on. This answer alone shows its secret."""
        asked = reader.read_as(Webhook, request.scope["duly.body"], request.scope["duly.headers"])
        _check_secret(asked.secret)
        made = await node.endpoints.add(DEFAULT_TENANT, _asked(asked, node.settings.reach), asked.secret)
        answer = _disclosed(node, made, 201)
        answer.headers["Location"] = f"{PATH}/{made.endpoint.endpoint_id}"
        return answer

    @router.get(
        "/{webhookId}",
        operation_id="getWebhook",
        response_model=WebhookBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def read_webhook(webhookId: str) -> Response:  # noqa: N803  # the contract's spelling
        """One webhook, without its secret."""
        return _answer(node, await _read(node, webhookId))

    @router.patch(
        "/{webhookId}",
        operation_id="updateWebhook",
        response_model=WebhookBody,
        responses=failures(400, 404, 413, 415, 422, 503),
        dependencies=[only()],
        openapi_extra=takes("WebhookChange"),
    )
    async def change_webhook(request: Request, webhookId: str) -> Response:  # noqa: N803
        """Change a webhook. What is still to be sent goes to the new address; that begins with no failures."""
        key = _key(webhookId)
        asked = reader.read_as(WebhookChange, request.scope["duly.body"], request.scope["duly.headers"])
        return _answer(node, await node.endpoints.change(key, _asked(asked, node.settings.reach)))

    @router.delete(
        "/{webhookId}",
        operation_id="deleteWebhook",
        status_code=204,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def delete_webhook(webhookId: str) -> Response:  # noqa: N803
        """Take a webhook away. What is still to be sent there ends as failed."""
        await node.endpoints.delete(_key(webhookId))
        return Response(status_code=204)

    @router.post(
        "/{webhookId}/test",
        operation_id="sendTestWebhook",
        status_code=202,
        response_model=SentTestBody,
        responses=failures(404, 409, 422, 503),
        dependencies=[only()],
    )
    async def send_test(webhookId: str) -> Response:  # noqa: N803
        """Send it a `webhook.test`, whatever it filters by. To one that is paused it is sent once it is resumed."""
        sent = await node.endpoints.test(_key(webhookId))
        body = {"deliveryId": str(sent.delivery_id), "eventId": str(sent.event_id)}
        return json_answer(orjson.dumps(body), 202)

    @router.post(
        "/{webhookId}/rotate-secret",
        operation_id="rotateWebhookSecret",
        response_model=DisclosedWebhookBody,
        responses=failures(400, 404, 413, 415, 422, 503),
        dependencies=[only()],
        openapi_extra=takes("SecretRotation", required=False),
    )
    async def rotate_secret(request: Request, webhookId: str) -> Response:  # noqa: N803
        """Sign with a new secret, and for 24 hours with the present one too; key pairs (v1a) likewise.

        This answer alone shows the new secret. Rotated again within that time, the oldest signs no longer.
        """
        key, body = _key(webhookId), request.scope["duly.body"]
        secret = reader.read_as(SecretRotation, body, request.scope["duly.headers"]).secret if body else None
        _check_secret(secret)
        return _disclosed(node, await node.endpoints.rotate(key, secret))

    @router.get(
        "/{webhookId}/jwks.json",
        operation_id="getWebhookPublicKeys",
        response_model=JwksBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
        openapi_extra={"security": []},  # receivers have no key of the service's
    )
    async def read_public_keys(webhookId: str) -> Response:  # noqa: N803
        """The public keys that verify its `v1a` signatures. Anyone may read them; no key is needed."""
        keys = [to_jwk(public) for public in node.endpoints.public_keys(await _read(node, webhookId))]
        if not keys:
            raise no_such_endpoint()
        return json_answer(orjson.dumps({"keys": keys}), headers={"Cache-Control": f"public, max-age={JWKS_SECONDS}"})

    return router


def _key(text: str) -> Key:
    """The webhook that a path names. What is no id is answered like one that does not exist."""
    endpoint_id = parse_job_id(text)
    if endpoint_id is None:
        raise no_such_endpoint()
    return DEFAULT_TENANT, endpoint_id


async def _read(node: Node, text: str) -> Endpoint:
    key = _key(text)
    async with node.database.connection() as connection:
        found = await read_endpoint(connection, key)
    if found is None:
        raise no_such_endpoint()
    return found


def _asked(body: Webhook | WebhookChange, reach: EgressPolicy) -> EndpointChange:
    """What of an endpoint is asked for; of a change, what is named.

    Raises:
        Invalid: it names no events, an address that is never called, or headers that cannot be sent.
    """
    named = body.model_fields_set if isinstance(body, WebhookChange) else set(Webhook.model_fields)
    _check(body, named, reach)
    return EndpointChange(
        url=body.url if "url" in named else None,
        events=body.events if "events" in named else None,
        types=body.types if "types" in named else None,
        labels=body.labels if "labels" in named else None,
        description=body.description or "" if "description" in named else None,
        headers=body.headers if "headers" in named else None,
        asymmetric="v1a" in body.signatures if "signatures" in named else None,
        paused=body.paused if "paused" in named else None,
        limits=_limits(body.limits) if "limits" in named else None,
        disabled=body.disabled if isinstance(body, WebhookChange) and "disabled" in named else None,
    )


def _check(body: Webhook | WebhookChange, named: set[str], reach: EgressPolicy) -> None:
    errors: list[PathError] = []
    if "url" in named and (refused := url_refusal(body.url, reach=reach)) is not None:
        errors.append(PathError("url", refused))
    if "events" in named:
        errors += event_errors(body.events)
    if "headers" in named:
        errors += header_errors(body.headers)
    if errors:
        raise Invalid.at(errors)


def _check_secret(secret: str | None) -> None:
    try:
        if secret is not None:
            check_secret(secret)
    except ValueError as error:  # it says what a secret is, and repeats none of it
        raise Invalid.at([PathError("secret", str(error))]) from None


def _limits(asked: StartLimits) -> FlowLimits:
    return FlowLimits(asked.concurrency, Rate(asked.rate.count, asked.rate.seconds) if asked.rate is not None else None)


def _answer(node: Node, endpoint: Endpoint) -> Response:
    return json_answer(orjson.dumps(_body(node, endpoint)), headers=dict(NO_STORE))


def _disclosed(node: Node, disclosed: EndpointWithSecret, status: int = 200) -> Response:
    body = _body(node, disclosed.endpoint) | {"secret": disclosed.secret}
    return json_answer(orjson.dumps(body), status, dict(NO_STORE))


def _body(node: Node, endpoint: Endpoint) -> dict[str, object]:
    asked, rate, circuit = endpoint.asked, endpoint.asked.limits.rate, endpoint.circuit
    public_keys = node.endpoints.public_keys(endpoint)
    has_pair = endpoint.keys.signing_key is not None
    return {
        "webhookId": str(endpoint.endpoint_id),
        "url": asked.url,
        "events": event_names(asked.events, filtered=asked.filtered),
        "types": asked.types,
        "labels": asked.labels,
        "description": asked.description,
        "headerNames": node.endpoints.header_names(endpoint),
        "signatures": ["v1", "v1a"] if has_pair else ["v1"],
        "publicKeys": public_keys,
        "jwksUrl": f"{PATH}/{endpoint.endpoint_id}/jwks.json" if has_pair else None,
        "status": _status(endpoint),
        "paused": asked.paused,
        "disabledAt": _time(endpoint.disabled_at),
        "disabledReason": endpoint.disabled_reason,
        "limits": {
            "concurrency": asked.limits.concurrency,
            "rate": {"count": rate.count, "seconds": rate.seconds} if rate else None,
        },
        "circuit": {
            "state": "open" if circuit.is_open else "closed",
            "failures": circuit.failures,
            "failingSince": _time(circuit.failing_since),
            "nextProbeAt": _time(circuit.probe_at),
            "lastError": circuit.last_error,
        },
        "previousSecretUntil": _time(endpoint.previous_until),
        "createdAt": rfc3339(endpoint.created_at),
        "updatedAt": rfc3339(endpoint.updated_at),
    }


def _status(endpoint: Endpoint) -> WebhookStatus:
    if endpoint.disabled_at is not None:
        return "disabled"
    return "paused" if endpoint.asked.paused else "enabled"


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None
