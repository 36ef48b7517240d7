"""`/api/v1/schedules`: submissions that recur."""

import re
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.openapi_parts import header_parameters, json_body
from duly.api.contract.response_models import AcceptedBody, JobBody, error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response, time_or_none
from duly.api.jobs.submission_reader import read_body, reader_of
from duly.api.jobs.submission_response import send_accepted
from duly.api.jobs.submission_steps import PREFER, EndpointResponse, refuse_when_draining
from duly.api.schedules.models import NAME, ScheduleBody, ScheduleChange, SchedulePage, ScheduleRequest
from duly.api.server.scope_values import actor_of, node_of, reads_payload, tenant_of
from duly.domain.schedule import CatchUp, Overlap, Recurrence, Schedule
from duly.domain.timestamps import rfc3339
from duly.lifecycle.schedules.manage import (
    create_schedule,
    delete_schedule,
    schedule_not_found,
    stored_submission,
    update_schedule,
)
from duly.store.queue.schedules import Key, list_schedules, read_schedule

PATH = "/api/v1/schedules"
LIST = "schedules"
_NAME = re.compile(NAME)
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
    after = name_in_cursor(LIST, cursor)
    async with node_of(request).database.connection() as connection:
        found = await list_schedules(connection, tenant_of(request), after=after, limit=limit + 1)
    last = write_cursor(LIST, found[limit - 1].name) if len(found) > limit else None
    return page_response([_body(request, each) for each in found[:limit]], next_cursor=last)


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
    recurrence, by = Recurrence(**_members(request, body)), actor_of(request)
    created = await create_schedule(node_of(request).database, (tenant_of(request), body.name), recurrence, by=by)
    return json_response(orjson.dumps(_body(request, created)), 201, {"Location": f"{PATH}/{created.name}"})


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
    key = _key(request, name)
    async with node_of(request).database.connection() as connection:
        found = await read_schedule(connection, key)
    if found is None:
        raise schedule_not_found(key)
    return json_response(orjson.dumps(_body(request, found)))


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
    key = _key(request, name)
    members = _members(request, read_body(request, ScheduleChange))
    changed = await update_schedule(node_of(request).database, key, members, by=actor_of(request))
    return json_response(orjson.dumps(_body(request, changed)))


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
    await delete_schedule(node_of(request).database, _key(request, name), by=actor_of(request))
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
    accepted = await node.scheduler.run(_key(request, name))
    return EndpointResponse(partial(send_accepted, accepted), request)


def _key(request: Request, name: str) -> Key:
    """Returns the key of the schedule in a path. An invalid name gets the response of an unknown one."""
    key = (tenant_of(request), name)
    if not _NAME.fullmatch(name):
        raise schedule_not_found(key)
    return key


def _members(request: Request, body: ScheduleRequest | ScheduleChange) -> dict[str, Any]:
    """Returns the members of a recurrence: all for a new schedule, those in the request for a change.

    Raises:
        Invalid, BodyTooLarge: its submission would be refused, alone or in a schedule.
    """
    named = body.model_fields_set if isinstance(body, ScheduleChange) else set(ScheduleRequest.model_fields)
    members: dict[str, Any] = {name: getattr(body, name) for name in ("cron", "timezone", "paused") if name in named}
    if "overlap" in named:
        members["overlap"] = Overlap[body.overlap.upper()]
    if "catchUp" in named:
        members["catch_up"] = CatchUp[body.catchUp.upper()]
    if "submission" in named:
        builder = reader_of(request).builder
        members |= stored_submission(body.submission, builder, tenant_id=tenant_of(request))
    return members


def _body(request: Request, schedule: Schedule) -> dict[str, object]:
    recurrence, last_run_at = schedule.recurrence, time_or_none(schedule.last_run_at)
    return {
        "name": schedule.name,
        "cron": recurrence.cron,
        "timezone": recurrence.timezone,
        "submission": orjson.Fragment(_submission(recurrence.submission, payload=reads_payload(request))),
        "overlap": recurrence.overlap.name.lower(),
        "catchUp": recurrence.catch_up.name.lower(),
        "paused": recurrence.paused,
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
