"""`/api/v1/webhooks/{webhookId}/health`: whether the receiver of a webhook answers."""

from fastapi import APIRouter, Request, Response

from duly.api.contract.path_ids import id_in_path
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, merged_response
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import tenant_of
from duly.api.webhooks.endpoint_bodies import health_body
from duly.api.webhooks.endpoint_models import WebhookHealthBody
from duly.node import Node
from duly.store.webhooks.endpoint_health import EndpointHealth, joined_health, read_endpoint_health
from duly.store.webhooks.endpoints import Endpoint, read_endpoint
from duly.webhooks.endpoints import no_such_endpoint

router = APIRouter(prefix="/api/v1/webhooks/{webhookId}", tags=["webhooks"])


@router.get(
    "/health",
    operation_id="getWebhookHealth",
    summary="Read the health of a webhook",
    response_model=WebhookHealthBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read_webhook_health(request: Request, webhookId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Returns the state of a webhook's circuit, the number of its pending deliveries, and the share of its newest ended
    deliveries that succeeded; of several cells, the circuit of the one that is worst off.
    """
    tenant_id, webhook_id = tenant_of(request), id_in_path(webhookId, "Webhook")

    async def read(node: Node) -> tuple[Endpoint, EndpointHealth] | None:
        async with node.database.connection() as connection:
            endpoint = await read_endpoint(connection, (tenant_id, webhook_id))
            if endpoint is None:
                return None
            return endpoint, await read_endpoint_health(connection, tenant_id, webhook_id)

    found, away = await read_cells(request, read)
    parts = [part for part in found.values() if part is not None]
    if not parts:
        raise no_such_endpoint()
    endpoint, _ = max(parts, key=lambda part: (part[0].circuit.is_open, part[0].circuit.failures))
    return merged_response(health_body(endpoint, joined_health([health for _, health in parts])), away=away)
