"""`/api/v1/job-types`: schemas, defaults, workers, run times and breakers of job types."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.merged_pages import Page, first_page, merged_page
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, merged_response, page_response
from duly.api.queues.breaker_bodies import breaker_body, breakers_of
from duly.api.queues.job_type_models import JobTypeBody, JobTypePage, ShownType, job_type_body
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import node_of, tenant_of
from duly.domain.declared_type import EVERY_TENANT, DeclaredType
from duly.domain.names import is_name
from duly.domain.run_times import RunTimes, joined_run_times
from duly.errors import NotFound
from duly.lifecycle.job_types.handler_declarations import declaration_of
from duly.node import Node
from duly.store.queue.declared_types import DeclaredRecord, list_declared_types, read_declared_type
from duly.store.queue.job_type_breakers import JobTypeBreakerView
from duly.store.queue.limits import UNLIMITED, FlowLimits, Scope, read_limits_of
from duly.store.queue.nodes import count_workers

PATH = "/api/v1/job-types"
LIST = "job-types"
router = APIRouter(prefix=PATH, tags=["job types"])


@router.get(
    "",
    operation_id="listJobTypes",
    summary="List job types",
    response_model=JobTypePage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_job_types(
    request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> Response:
    """Returns the job types, sorted by name: those of handlers, and those that were declared."""
    after, tenant_id = name_in_cursor(LIST, cursor), tenant_of(request)

    async def read(node: Node) -> Page[DeclaredRecord, str]:
        async with node.database.connection() as connection:
            found = await list_declared_types(connection, tenant_id, after=after, limit=limit + 1)
        return first_page(found, limit=limit, key=_name_of)

    found, unread = await read_cells(request, read)
    page = merged_page(found.values(), limit=limit, key=_name_of, newest_first=False, combine=_in_force)
    shown = {_name_of(record): _recorded(record) for record in page.items}
    for name, handler in node_of(request).registry.items():
        if name > after:
            shown[name] = _of_handler(declaration_of(handler), shown.get(name))
    names = sorted(shown)
    items, away = await job_type_bodies(request, [shown[name] for name in names[:limit]])
    more = page.reached is not None or len(names) > limit
    last = write_cursor(LIST, names[limit - 1]) if more else None
    return page_response(items, next_cursor=last, away=sorted({*unread, *away}))


@router.get(
    "/{type:path}",
    operation_id="getJobType",
    summary="Read a job type",
    response_model=JobTypeBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read_job_type(request: Request, type: str) -> Response:  # noqa: A002  # the contract's word
    """Returns one job type."""
    if not is_name(type):  # a text that the database might refuse
        raise await unknown_job_type(request, type)
    handler, tenant_id = node_of(request).registry.get(type), tenant_of(request)

    async def read(node: Node) -> DeclaredRecord | None:
        async with node.database.connection() as connection:
            return await read_declared_type(connection, tenant_id, type)

    found, unread = await read_cells(request, read)
    records = [record for record in found.values() if record is not None]
    shown = _recorded(_in_force(records)) if records else None
    if handler is not None:
        shown = _of_handler(declaration_of(handler), shown)
    if shown is None:
        raise await unknown_job_type(request, type)
    [body], away = await job_type_bodies(request, [shown])
    return merged_response(body, away=sorted({*unread, *away}))


def _name_of(record: DeclaredRecord) -> str:
    return record.declared.type


def _recorded(record: DeclaredRecord) -> ShownType:
    return ShownType(record.declared, record.declared_at)


def _in_force(records: Sequence[DeclaredRecord]) -> DeclaredRecord:
    """Returns the record to show of those that cells have of a type: the newest, those of handlers first.

    Workers declare the types of their handlers in each cell that they work.
    """
    return max(records, key=lambda record: (record.tenant_id == EVERY_TENANT, record.declared_at))


def _of_handler(declared: DeclaredType, recorded: ShownType | None) -> ShownType:
    """Returns the type of a handler of this node, which precedes what is recorded."""
    return ShownType(declared, recorded.declared_at if recorded is not None else None)


async def known_job_type(request: Request, job_type: str) -> str:
    """Returns the name of a job type.

    Raises:
        NotFound: no handler and no declaration is known for it.
    """
    if await node_of(request).job_types.find_loaded(tenant_of(request), job_type) is None:
        raise await unknown_job_type(request, job_type)
    return job_type


async def unknown_job_type(request: Request, job_type: str) -> NotFound:
    """Returns the error for an unknown job type, which names similar ones."""
    types, tenant_id = node_of(request).job_types, tenant_of(request)
    await types.load([tenant_id])
    near = ", ".join(types.near(tenant_id, job_type))
    return NotFound(f'Unknown job type "{job_type}".', reason=f"Similar types: {near}." if near else None)


class _State(NamedTuple):
    """State of job types in one cell, by name."""

    observed: Mapping[str, RunTimes | None]
    workers: Mapping[str, int]
    breakers: Mapping[str, JobTypeBreakerView]
    limits: Mapping[str, FlowLimits]


async def job_type_bodies(
    request: Request, shown: Sequence[ShownType]
) -> tuple[list[dict[str, object]], Sequence[int]]:
    """Returns job types with their workers, run times, breakers and limits in all cells, and the cells that are away.

    Each process works all cells, as a rule, so the largest number of workers is that of all.
    """
    tenant_id, names = tenant_of(request), [each.declared.type for each in shown]
    guarded = [each.declared.type for each in shown if each.declared.handler and each.declared.handler.breaker]

    async def read(node: Node) -> _State:
        observed = await node.run_times.observed(tenant_id, names)
        async with node.database.connection() as connection:
            workers = await count_workers(connection, tenant_id, names)
            breakers = await breakers_of(connection, tenant_id, guarded)
            limits = await read_limits_of(connection, tenant_id, Scope.TYPE, names)
        return _State(observed, workers, breakers, limits)

    found, away = await read_cells(request, read)
    states = list(found.values())
    bodies = [
        job_type_body(
            each,
            observed=joined_run_times([state.observed[name] for state in states]),
            workers=max(state.workers[name] for state in states),
            breaker=breaker_body(*(state.breakers[name] for state in states)) if name in guarded else None,
            limits=next((state.limits[name] for state in states if name in state.limits), UNLIMITED),
        )
        for each in shown
        for name in [each.declared.type]
    ]
    return bodies, away
