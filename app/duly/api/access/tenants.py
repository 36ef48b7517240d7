"""`/api/v1/tenants`: tenants of the installation and their limits."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.openapi_parts import TimeText, json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response
from duly.api.jobs.submission_reader import read_body
from duly.api.server.scope_values import actor_of, node_of
from duly.domain.tenant import TENANT_NAME, Tenant, TenantLimits
from duly.domain.timestamps import rfc3339
from duly.lifecycle.access.tenants import create_tenant, limit_members, tenant_not_found, update_tenant
from duly.store.access.tenants import find_tenant, list_tenants

PATH = "/api/v1/tenants"
LIST = "tenants"
MOST = 1_000_000
router = APIRouter(prefix=PATH, tags=["tenants"])


class TenantChange(BaseModel):
    """Limits of a tenant to replace. Null: the setting or default of the installation applies."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    submitRate: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = Field(
        default=None, description="Jobs that it may submit per second."
    )
    submitBurst: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, description="Jobs that it may submit at once; null: ten seconds of the rate."
    )
    backlogLimit: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        default=None, description="Jobs that may wait in each of its queues."
    )
    retentionDays: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        default=None,
        description="Days for which its ended jobs are kept at least. The jobs of a day are deleted for all tenants "
        "together, once the longest retention of any tenant has passed.",
    )
    maxEndpoints: Annotated[int, Field(ge=0, le=MOST)] | None = Field(
        default=None, description="Webhooks that it may register."
    )
    maxSchedules: Annotated[int, Field(ge=0, le=MOST)] | None = Field(
        default=None, description="Schedules that it may have."
    )
    maxKeys: Annotated[int, Field(ge=0, le=MOST)] | None = Field(
        default=None, description="Valid API keys that it may have."
    )
    maxQueues: Annotated[int, Field(ge=0, le=MOST)] | None = Field(
        default=None, description="Queues that it may use at a time."
    )


class TenantRequest(TenantChange):
    """Tenant to create."""

    tenant: Annotated[str, StringConstraints(pattern=rf"^{TENANT_NAME.pattern}$")] = Field(examples=["acme"])


class TenantBody(BaseModel):
    """Tenant and its limits. Null: the setting or default of the installation applies."""

    tenant: str = Field(examples=["acme"])
    submitRate: float | None
    submitBurst: int | None
    backlogLimit: int | None
    retentionDays: int | None
    maxEndpoints: int | None
    maxSchedules: int | None
    maxKeys: int | None
    maxQueues: int | None
    createdAt: TimeText


class TenantPage(BaseModel):
    items: list[TenantBody]
    nextCursor: str | None


_MEMBERS = {
    "submitRate": "submit_rate",
    "submitBurst": "submit_burst",
    "backlogLimit": "backlog_limit",
    "retentionDays": "retention_days",
    "maxEndpoints": "max_endpoints",
    "maxSchedules": "max_schedules",
    "maxKeys": "max_keys",
    "maxQueues": "max_queues",
}


@router.get(
    "",
    operation_id="listTenants",
    summary="List tenants",
    response_model=TenantPage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_all(
    request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> Response:
    """Returns the tenants, sorted by name."""
    after = name_in_cursor(LIST, cursor)
    async with node_of(request).database.connection() as connection:
        found = await list_tenants(connection, after=after, limit=limit + 1)
    last = write_cursor(LIST, found[limit - 1].name) if len(found) > limit else None
    return page_response([_body(tenant) for tenant in found[:limit]], next_cursor=last)


@router.post(
    "",
    operation_id="createTenant",
    summary="Create a tenant",
    status_code=201,
    response_model=TenantBody,
    responses=error_responses(400, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("TenantRequest"),
)
async def create(request: Request) -> Response:
    """Creates a tenant. Create its first key with `POST /api/v1/keys` and the header `X-Duly-Tenant`."""
    body, node = read_body(request, TenantRequest), node_of(request)
    limits = TenantLimits(**{member: getattr(body, name) for name, member in _MEMBERS.items()})
    created = await create_tenant(node.database, body.tenant, limits, by=actor_of(request))
    node.wakeups.keys()
    return json_response(orjson.dumps(_body(created)), 201, {"Location": f"{PATH}/{created.name}"})


@router.get(
    "/{tenant}",
    operation_id="getTenant",
    summary="Read a tenant",
    response_model=TenantBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read(request: Request, tenant: str) -> Response:
    """Returns one tenant."""
    async with node_of(request).database.connection() as connection:
        found = await find_tenant(connection, _name(tenant))
    if found is None:
        raise tenant_not_found()
    return json_response(orjson.dumps(_body(found)))


@router.patch(
    "/{tenant}",
    operation_id="updateTenant",
    summary="Change the limits of a tenant",
    response_model=TenantBody,
    responses=error_responses(400, 404, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("TenantChange"),
)
async def update(request: Request, tenant: str) -> Response:
    """Replaces those limits that are in the request. Limits on submitting apply on all nodes within a second."""
    body, node = read_body(request, TenantChange), node_of(request)
    changes = {_MEMBERS[name]: getattr(body, name) for name in body.model_fields_set}
    changed = await update_tenant(node.database, _name(tenant), changes, by=actor_of(request))
    await node.submission_limiters.refresh(changed.tenant_id)
    return json_response(orjson.dumps(_body(changed)))


def _name(text: str) -> str:
    """Returns the name in a path. A malformed one gets the response of an unknown one."""
    if not TENANT_NAME.fullmatch(text):
        raise tenant_not_found()
    return text


def _body(tenant: Tenant) -> dict[str, Any]:
    return {"tenant": tenant.name, **limit_members(tenant.limits), "createdAt": rfc3339(tenant.created_at)}
