"""Webhooks in requests and responses: members of an endpoint from a request, and its body in a response."""

from duly.api.contract.responses import time_or_none
from duly.api.queues.limit_models import limits_body, limits_of
from duly.api.webhooks.endpoint_models import Webhook, WebhookChange, WebhookStatus
from duly.domain.egress_policy import EgressPolicy, url_refusal
from duly.domain.endpoint_events_and_headers import event_errors, event_names, header_errors
from duly.domain.timestamps import rfc3339
from duly.domain.webhook_secret import check_secret
from duly.errors import Invalid, PathError
from duly.store.webhooks.endpoint_health import EndpointHealth
from duly.store.webhooks.endpoints import Endpoint
from duly.webhooks.endpoints import EndpointChange, Endpoints

PATH = "/api/v1/webhooks"


def endpoint_members(body: Webhook | WebhookChange, egress: EgressPolicy) -> EndpointChange:
    """Returns the members of an endpoint: all for a new one, those in the request for a change.

    Raises:
        Invalid: unknown events, a URL that the egress policy forbids, or invalid headers.
    """
    named = body.model_fields_set if isinstance(body, WebhookChange) else set(Webhook.model_fields)
    _check(body, named, egress)
    return EndpointChange(
        url=body.url if "url" in named else None,
        events=body.events if "events" in named else None,
        types=body.types if "types" in named else None,
        labels=body.labels if "labels" in named else None,
        description=body.description or "" if "description" in named else None,
        headers=body.headers if "headers" in named else None,
        asymmetric="v1a" in body.signatures if "signatures" in named else None,
        paused=body.paused if "paused" in named else None,
        limits=limits_of(body.limits) if "limits" in named else None,
        disabled=body.disabled if isinstance(body, WebhookChange) and "disabled" in named else None,
    )


def _check(body: Webhook | WebhookChange, named: set[str], egress: EgressPolicy) -> None:
    errors: list[PathError] = []
    if "url" in named and (refused := url_refusal(body.url, egress=egress)) is not None:
        errors.append(PathError("url", refused))
    if "events" in named:
        errors += event_errors(body.events)
    if "headers" in named:
        errors += header_errors(body.headers)
    if errors:
        raise Invalid.at(errors)


def check_webhook_secret(secret: str | None) -> None:
    """Raises Invalid if a secret is malformed."""
    try:
        if secret is not None:
            check_secret(secret)
    except ValueError as error:  # its message contains nothing of the secret
        raise Invalid.at([PathError("secret", str(error))]) from None


def endpoint_body(endpoints: Endpoints, endpoint: Endpoint) -> dict[str, object]:
    """Returns the members of a webhook."""
    subscription = endpoint.subscription
    has_pair = endpoint.keys.signing_key is not None
    return {
        "webhookId": str(endpoint.endpoint_id),
        "url": subscription.url,
        "events": event_names(subscription.events, filtered=subscription.filtered),
        "types": subscription.types,
        "labels": subscription.labels,
        "description": subscription.description,
        "headerNames": endpoints.header_names(endpoint),
        "signatures": ["v1", "v1a"] if has_pair else ["v1"],
        "publicKeys": endpoints.public_keys(endpoint),
        "jwksUrl": f"{PATH}/{endpoint.endpoint_id}/jwks.json" if has_pair else None,
        "status": _status(endpoint),
        "paused": subscription.paused,
        "disabledAt": time_or_none(endpoint.disabled_at),
        "disabledReason": endpoint.disabled_reason,
        "limits": limits_body(subscription.limits),
        "circuit": _circuit(endpoint),
        "previousSecretUntil": time_or_none(endpoint.previous_until),
        "createdAt": rfc3339(endpoint.created_at),
        "updatedAt": rfc3339(endpoint.updated_at),
    }


def health_body(endpoint: Endpoint, health: EndpointHealth) -> dict[str, object]:
    """Returns the members of the health of a webhook."""
    recent = health.delivered + health.failed
    return {
        "webhookId": str(endpoint.endpoint_id),
        "status": _status(endpoint),
        "circuit": _circuit(endpoint),
        "pending": health.pending,
        "recent": recent,
        "delivered": health.delivered,
        "failed": health.failed,
        "successRate": round(health.delivered / recent, 4) if recent else None,
        "lastDeliveredAt": time_or_none(health.last_delivered_at),
        "lastFailedAt": time_or_none(health.last_failed_at),
    }


def _circuit(endpoint: Endpoint) -> dict[str, object]:
    circuit = endpoint.circuit
    return {
        "state": "open" if circuit.is_open else "closed",
        "failures": circuit.failures,
        "failingSince": time_or_none(circuit.failing_since),
        "nextProbeAt": time_or_none(circuit.probe_at),
        "lastError": circuit.last_error,
    }


def _status(endpoint: Endpoint) -> WebhookStatus:
    if endpoint.disabled_at is not None:
        return "disabled"
    return "paused" if endpoint.subscription.paused else "enabled"
