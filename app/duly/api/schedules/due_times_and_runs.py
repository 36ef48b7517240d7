"""`/api/v1/schedules/{name}/due-times` and `/runs`: when a schedule is due next, and what it has run."""

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response, time_or_none
from duly.api.jobs.job_filter import LATEST, Moment
from duly.api.schedules.models import DueTimesBody, ScheduleRunPage
from duly.api.schedules.schedules import schedule_key
from duly.api.server.scope_values import node_of
from duly.domain.cron import read_cron
from duly.domain.schedule import Recurrence, Schedule
from duly.domain.timestamps import rfc3339
from duly.lifecycle.schedules.manage import schedule_not_found
from duly.store.postgres.database import Connection
from duly.store.queue.schedules import Key, clock, read_schedule
from duly.store.read.schedule_runs import ScheduleRun, list_runs

MOST_DUE_TIMES = 100
router = APIRouter(prefix="/api/v1/schedules/{name}", tags=["schedules"])


@router.get(
    "/due-times",
    operation_id="listDueTimes",
    summary="List the next due times of a schedule",
    response_model=DueTimesBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query("count", "after")],
)
async def list_due_times(
    request: Request,
    name: str,
    count: Annotated[int, Query(ge=1, le=MOST_DUE_TIMES, description="Maximum number of due times.")] = 10,
    after: Annotated[Moment | None, Query(description="Due times after this time; default: now.")] = None,
) -> Response:
    """Returns the next due times of a schedule, in UTC and in its time zone. Those of a paused schedule are the ones
    that it would have.
    """
    async with node_of(request).database.connection() as connection:
        found = await _find(connection, schedule_key(request, name))
        now = await clock(connection)
    recurrence = found.recurrence
    body = {
        "timezone": recurrence.timezone,
        "paused": recurrence.paused,
        "items": [_due_time(due, recurrence.timezone) for due in _due_times(recurrence, after or now, count)],
    }
    return json_response(orjson.dumps(body))


@router.get(
    "/runs",
    operation_id="listScheduleRuns",
    summary="List the runs of a schedule",
    response_model=ScheduleRunPage,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_schedule_runs(
    request: Request, name: str, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> Response:
    """Returns the due times that a schedule has run within the last 30 days, newest first, with the state of their
    jobs.
    """
    key, list_name = schedule_key(request, name), f"runs of schedule {name}"
    position = name_in_cursor(list_name, cursor)
    before = datetime.fromisoformat(position) if position else LATEST
    async with node_of(request).database.connection() as connection:
        await _find(connection, key)
        found = await list_runs(connection, key, before=before, limit=limit + 1)
    last = write_cursor(list_name, found[limit - 1].due_at.isoformat()) if len(found) > limit else None
    return page_response([_run(each) for each in found[:limit]], next_cursor=last)


async def _find(connection: Connection, key: Key) -> Schedule:
    found = await read_schedule(connection, key)
    if found is None:
        raise schedule_not_found(key)
    return found


def _due_times(recurrence: Recurrence, after: datetime, count: int) -> list[datetime]:
    cron = read_cron(recurrence.cron, recurrence.timezone, kept=True)
    first = cron.next_after(after.astimezone(UTC))
    return cron.due_times(first, until=datetime.max.replace(tzinfo=UTC), limit=count) if first is not None else []


def _due_time(due: datetime, timezone: str) -> dict[str, object]:
    return {"dueAt": rfc3339(due), "localTime": due.astimezone(ZoneInfo(timezone)).isoformat(timespec="seconds")}


def _run(run: ScheduleRun) -> dict[str, object]:
    job = run.job
    return {
        "dueAt": rfc3339(run.due_at),
        "jobId": str(run.job_id) if run.job_id is not None else None,
        "status": job.status if job is not None else None,
        "startedAt": time_or_none(job.started_at) if job is not None else None,
        "completedAt": time_or_none(job.completed_at) if job is not None else None,
    }
