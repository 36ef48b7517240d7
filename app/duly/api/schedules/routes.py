"""`/api/v1/schedules`: submissions that recur."""

import re
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.cursors import read_cursor, write_cursor
from duly.api.contract.openapi_parts import header_parameters, takes
from duly.api.contract.response_models import AcceptedBody, JobBody, failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.jobs import PREFER, Through, refuse_when_draining
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.jobs.submission_response import answer_accepted
from duly.api.schedules.models import NAME, Schedule, ScheduleBody, ScheduleChange, SchedulePage
from duly.domain.job import DEFAULT_TENANT
from duly.domain.schedule import CatchUp, Overlap, Recurrence
from duly.domain.schedule import Schedule as Standing
from duly.domain.timestamps import rfc3339
from duly.lifecycle.schedules.manage import create_schedule, schedule_not_found, stored_submission, update_schedule
from duly.node import Node
from duly.store.queue.schedules import Key, delete_schedule, list_schedules, read_schedule

PATH = "/api/v1/schedules"
_NAME = re.compile(NAME)


def schedules_router(node: Node, reader: SubmissionReader) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix=PATH, tags=["schedules"])

    @router.get(
        "",
        operation_id="listSchedules",
        response_model=SchedulePage,
        responses=failures(422, 503),
        dependencies=[only("limit", "cursor")],
    )
    async def list_all(limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None) -> Response:
        """All schedules, by name."""
        after = read_cursor("schedules", cursor).decode() if cursor is not None else ""
        async with node.database.connection() as connection:
            found = await list_schedules(connection, DEFAULT_TENANT, after=after, limit=limit + 1)
        last = write_cursor("schedules", found[limit - 1].name.encode()) if len(found) > limit else None
        return json_answer(orjson.dumps({"items": [_body(each) for each in found[:limit]], "nextCursor": last}))

    @router.post(
        "",
        operation_id="createSchedule",
        status_code=201,
        response_model=ScheduleBody,
        responses=failures(400, 409, 413, 415, 422, 503),
        dependencies=[only()],
        openapi_extra=takes("Schedule"),
    )
    async def add_one(request: Request) -> Response:
        """Begin a schedule. It is due from now on."""
        asked = reader.read_as(Schedule, request.scope["duly.body"], request.scope["duly.headers"])
        recurrence = Recurrence(**_members(asked, reader))
        added = await create_schedule(node.database, (DEFAULT_TENANT, asked.name), recurrence)
        return json_answer(orjson.dumps(_body(added)), 201, {"Location": f"{PATH}/{added.name}"})

    @router.get(
        "/{name}",
        operation_id="getSchedule",
        response_model=ScheduleBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def read_one(name: str) -> Response:
        """One schedule."""
        key = _key(name)
        async with node.database.connection() as connection:
            found = await read_schedule(connection, key)
        if found is None:
            raise schedule_not_found(key)
        return json_answer(orjson.dumps(_body(found)))

    @router.patch(
        "/{name}",
        operation_id="updateSchedule",
        response_model=ScheduleBody,
        responses=failures(400, 404, 413, 415, 422, 503),
        dependencies=[only()],
        openapi_extra=takes("ScheduleChange"),
    )
    async def change_one(request: Request, name: str) -> Response:
        """Change a schedule. With another cron, time zone or pause it is due anew, from now on."""
        key = _key(name)
        asked = reader.read_as(ScheduleChange, request.scope["duly.body"], request.scope["duly.headers"])
        changed = await update_schedule(node.database, key, _members(asked, reader))
        return json_answer(orjson.dumps(_body(changed)))

    @router.delete(
        "/{name}",
        operation_id="deleteSchedule",
        status_code=204,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def delete_one(name: str) -> Response:
        """End a schedule. The jobs that it has made go on."""
        key = _key(name)
        async with node.database.connection() as connection:
            if not await delete_schedule(connection, key):
                raise schedule_not_found(key)
        return Response(status_code=204)

    @router.post(
        "/{name}/run",
        operation_id="runSchedule",
        status_code=202,
        response_model=AcceptedBody,
        responses=failures(404, 409, 422, 503, also={200: {"model": JobBody, "description": "Done in time"}}),
        dependencies=[only()],
        openapi_extra={"parameters": header_parameters({"Prefer": PREFER})},
    )
    async def run_one(request: Request, name: str) -> Response:
        """Submit a schedule's job now, paused or not. When it is due next stays as it is."""
        refuse_when_draining(node)
        accepted = await node.scheduler.run(_key(name))
        return Through(partial(answer_accepted, node, accepted), request)

    return router


def _key(name: str) -> Key:
    """The schedule that a path names. What can be no name is answered like one that does not exist."""
    key = (DEFAULT_TENANT, name)
    if not _NAME.fullmatch(name):
        raise schedule_not_found(key)
    return key


def _members(asked: Schedule | ScheduleChange, reader: SubmissionReader) -> dict[str, Any]:
    """What of a recurrence is asked for: all of it for a new one.

    Raises:
        Invalid, BodyTooLarge: its submission would be refused, by itself or in a schedule.
    """
    named = asked.model_fields_set if isinstance(asked, ScheduleChange) else set(Schedule.model_fields)
    members: dict[str, Any] = {name: getattr(asked, name) for name in ("cron", "timezone", "paused") if name in named}
    if "overlap" in named:
        members["overlap"] = Overlap[asked.overlap.upper()]
    if "catchUp" in named:
        members["catch_up"] = CatchUp[asked.catchUp.upper()]
    if "submission" in named:
        members |= stored_submission(asked.submission, reader.maker)
    return members


def _body(standing: Standing) -> dict[str, object]:
    asked, last_run_at = standing.asked, _time(standing.last_run_at)
    return {
        "name": standing.name,
        "cron": asked.cron,
        "timezone": asked.timezone,
        "submission": orjson.Fragment(asked.submission),
        "overlap": asked.overlap.name.lower(),
        "catchUp": asked.catch_up.name.lower(),
        "paused": asked.paused,
        "nextRunAt": _time(standing.next_run_at),
        "lastRunAt": last_run_at,
        "lastJob": {"jobId": str(standing.last_job_id), "dueAt": last_run_at} if standing.last_job_id else None,
        "lastError": orjson.Fragment(standing.last_error) if standing.last_error is not None else None,
        "createdAt": rfc3339(standing.created_at),
        "updatedAt": rfc3339(standing.updated_at),
    }


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None
