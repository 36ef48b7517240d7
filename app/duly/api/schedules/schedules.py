"""`/api/v1/schedules`: submissions that recur."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.merged_pages import Page, first_page, merged_page
from duly.api.contract.openapi_parts import header_parameters, json_body
from duly.api.contract.response_models import AcceptedBody, JobBody, error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response, time_or_none
from duly.api.jobs.submission_reader import read_body, reader_of
from duly.api.jobs.submission_response import send_accepted
from duly.api.jobs.submission_steps import PREFER, EndpointResponse, load_job_types, refuse_when_draining
from duly.api.schedules.models import (
    ScheduleBody,
    ScheduleChange,
    ScheduleDefinition,
    SchedulePage,
    ScheduleRequest,
)
from duly.api.server.cell_reads import cell_count, read_numbered_cells
from duly.api.server.scope_values import actor_of, node_of, reads_payload, tenant_of
from duly.domain.cells import cell_of_key
from duly.domain.names import SCHEDULE_NAME_PATTERN, is_schedule_name
from duly.domain.schedule import CatchUp, Overlap, Recurrence, Schedule
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, PathError
from duly.lifecycle.schedules.manage import (
    Replacement,
    create_schedule,
    delete_schedule,
    put_schedule,
    schedule_not_found,
    stored_submission,
    update_schedule,
)
from duly.node import Node
from duly.store.queue.nodes import count_declaring
from duly.store.queue.schedules import Key, list_schedules, read_schedule

PATH = "/api/v1/schedules"
LIST = "schedules"
router = APIRouter(prefix=PATH, tags=["schedules"])


@router.get(
    "",
    operation_id="listSchedules",
    summary="List schedules",
    response_model=SchedulePage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_all(
    request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> Response:
    """Returns the schedules, sorted by name."""
    after, tenant_id, count = name_in_cursor(LIST, cursor), tenant_of(request), cell_count(request)

    async def read(node: Node, number: int) -> Page[_Listed, str]:
        async with node.database.connection() as connection:
            found = await list_schedules(connection, tenant_id, after=after, limit=limit + 1)
        workers = await _workers(node, found)
        listed = [_Listed(each, cell_of_key(tenant_id, each.name, count) == number, workers) for each in found]
        return first_page(listed, limit=limit, key=_name_of)

    found, away = await read_numbered_cells(request, read)
    page = merged_page(
        found.values(),
        limit=limit,
        key=_name_of,
        newest_first=False,
        combine=lambda copies: next((each for each in copies if each.fires), copies[0]),
    )
    last = write_cursor(LIST, page.reached) if page.reached is not None else None
    items = [_body(request, each.schedule, each.workers) for each in page.items]
    return page_response(items, next_cursor=last, away=away)


class _Listed(NamedTuple):
    """Schedule as one cell has it. Each cell has a copy; it `fires` in one, which knows its due times."""

    schedule: Schedule
    fires: bool
    workers: Mapping[str, int]


def _name_of(listed: _Listed) -> str:
    return listed.schedule.name


@router.post(
    "",
    operation_id="createSchedule",
    summary="Create a schedule",
    status_code=201,
    response_model=ScheduleBody,
    responses=error_responses(400, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("Schedule"),
)
async def create(request: Request) -> Response:
    """Creates a schedule. Its first job runs at the next due time from now."""
    body = read_body(request, ScheduleRequest)
    await load_job_types(node_of(request), tenant_of(request))
    recurrence, by = Recurrence(**_members(request, body)), actor_of(request)
    created = await create_schedule(node_of(request).database, (tenant_of(request), body.name), recurrence, by=by)
    return json_response(orjson.dumps(_body(request, created, {})), 201, {"Location": f"{PATH}/{created.name}"})


@router.get(
    "/{name}",
    operation_id="getSchedule",
    summary="Read a schedule",
    response_model=ScheduleBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read(request: Request, name: str) -> Response:
    """Returns one schedule."""
    key = schedule_key(request, name)
    async with node_of(request).database.connection() as connection:
        found = await read_schedule(connection, key)
    if found is None:
        raise schedule_not_found(key)
    return json_response(orjson.dumps(_body(request, found, await _workers(node_of(request), [found]))))


@router.put(
    "/{name}",
    operation_id="putSchedule",
    summary="Create or replace a schedule",
    response_model=ScheduleBody,
    responses=error_responses(
        *(400, 409, 413, 415, 422, 503),
        also={201: {"model": ScheduleBody, "description": "The schedule is new"}},
    ),
    dependencies=[accepts_query()],
    openapi_extra=json_body("ScheduleDefinition"),
)
async def put(request: Request, name: str) -> Response:
    """Creates a schedule, or replaces all of it except its last run. The same schedule again changes nothing.

    Without `paused`, a new schedule is not paused and an existing one stays as it is. A change of cron, timezone or
    paused recomputes the next due time from now.
    """
    if not is_schedule_name(name):
        raise Invalid.at([PathError("name", f"must match {SCHEDULE_NAME_PATTERN}")])
    body = read_body(request, ScheduleDefinition)
    await load_job_types(node_of(request), tenant_of(request))
    requested = Replacement(
        Recurrence(**_members(request, body)),
        keeps_pause="paused" not in body.model_fields_set,
        by=actor_of(request),
    )
    node, key = node_of(request), (tenant_of(request), name)
    found, is_new = await put_schedule(node.database, key, requested, keyring=node.keyring)
    workers = await _workers(node, [found])
    headers = {"Location": f"{PATH}/{name}"} if is_new else None
    return json_response(orjson.dumps(_body(request, found, workers)), 201 if is_new else 200, headers)


@router.patch(
    "/{name}",
    operation_id="updateSchedule",
    summary="Change a schedule",
    response_model=ScheduleBody,
    responses=error_responses(400, 404, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("ScheduleChange"),
)
async def update(request: Request, name: str) -> Response:
    """Changes a schedule. A change of cron, timezone or paused recomputes the next due time from now."""
    key = schedule_key(request, name)
    await load_job_types(node_of(request), tenant_of(request))
    members = _members(request, read_body(request, ScheduleChange))
    changed = await update_schedule(node_of(request).database, key, members, by=actor_of(request))
    return json_response(orjson.dumps(_body(request, changed, await _workers(node_of(request), [changed]))))


@router.delete(
    "/{name}",
    operation_id="deleteSchedule",
    summary="Delete a schedule",
    status_code=204,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def delete(request: Request, name: str) -> Response:
    """Deletes a schedule. Jobs that it has submitted continue."""
    await delete_schedule(node_of(request).database, schedule_key(request, name), by=actor_of(request))
    return Response(status_code=204)


@router.post(
    "/{name}/run",
    operation_id="runSchedule",
    summary="Run a schedule now",
    status_code=202,
    response_model=AcceptedBody,
    responses=error_responses(
        *(404, 409, 422, 503),
        also={200: {"model": JobBody, "description": "The job ended within the time of `Prefer: wait`"}},
    ),
    dependencies=[accepts_query()],
    openapi_extra={"parameters": header_parameters({"Prefer": PREFER})},
)
async def run(request: Request, name: str) -> Response:
    """Submits the job of a schedule now, even if it is paused. Its next due time stays the same."""
    node = node_of(request)
    refuse_when_draining(node)
    accepted = await node.scheduler.run(schedule_key(request, name))
    return EndpointResponse(partial(send_accepted, accepted), request)


def schedule_key(request: Request, name: str) -> Key:
    """Returns the key of the schedule in a path. An invalid name gets the response of an unknown one."""
    key = (tenant_of(request), name)
    if not is_schedule_name(name):
        raise schedule_not_found(key)
    return key


def _members(request: Request, body: ScheduleDefinition | ScheduleChange) -> dict[str, Any]:
    """Returns the members of a recurrence: all for a new schedule, those in the request for a change.

    Raises:
        Invalid, BodyTooLarge: its submission would be refused, alone or in a schedule.
    """
    named = body.model_fields_set if isinstance(body, ScheduleChange) else set(ScheduleDefinition.model_fields)
    members: dict[str, Any] = {name: getattr(body, name) for name in ("cron", "timezone", "paused") if name in named}
    if "overlap" in named:
        members["overlap"] = Overlap[body.overlap.upper()]
    if "catchUp" in named:
        members["catch_up"] = CatchUp[body.catchUp.upper()]
    if "submission" in named:
        builder = reader_of(request).builder
        members |= stored_submission(body.submission, builder, tenant_id=tenant_of(request))
    return members


async def _workers(node: Node, schedules: Sequence[Schedule]) -> Mapping[str, int]:
    """Returns the number of live workers whose code declares each schedule; nothing if none was declared by code."""
    if not any(schedule.declared for schedule in schedules):
        return {}
    async with node.database.connection() as connection:
        return await count_declaring(connection)


def _body(request: Request, schedule: Schedule, workers: Mapping[str, int]) -> dict[str, object]:
    recurrence, last_run_at = schedule.recurrence, time_or_none(schedule.last_run_at)
    return {
        "name": schedule.name,
        "cron": recurrence.cron,
        "timezone": recurrence.timezone,
        "submission": orjson.Fragment(_submission(recurrence.submission, payload=reads_payload(request))),
        "overlap": recurrence.overlap.name.lower(),
        "catchUp": recurrence.catch_up.name.lower(),
        "paused": recurrence.paused,
        "declaredBy": "handler" if schedule.declared else "client",
        "workers": workers.get(schedule.name, 0) if schedule.declared else None,
        "nextRunAt": time_or_none(schedule.next_run_at),
        "lastRunAt": last_run_at,
        "lastJob": {"jobId": str(schedule.last_job_id), "dueAt": last_run_at} if schedule.last_job_id else None,
        "lastError": orjson.Fragment(schedule.last_error) if schedule.last_error is not None else None,
        "createdAt": rfc3339(schedule.created_at),
        "updatedAt": rfc3339(schedule.updated_at),
    }


def _submission(submission: str, *, payload: bool) -> bytes | str:
    """Returns a submission as JSON; without `payload`, without its parameters."""
    if payload:
        return submission
    return orjson.dumps({**orjson.loads(submission), "parameters": None})
