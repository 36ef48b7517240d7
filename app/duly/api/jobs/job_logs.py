"""`GET /api/v1/jobs/{jobId}/logs`: what a job's handler logged, attempt by attempt."""

from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from duly.api.contract.cursors import read_cursor, write_cursor
from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.response_models import failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.jobs import tenant_job
from duly.domain.job import DEFAULT_TENANT
from duly.domain.log_lines import LEVELS, Level
from duly.domain.timestamps import rfc3339
from duly.errors import NotFound
from duly.handlers.registry import MOST_ATTEMPTS
from duly.node import Node
from duly.store.ledger.job_logs import LogPosition, RecordedLine, job_exists, logs_after

# Lines of an attempt that has just ended here may still be on their way to the table: this long they are waited for.
FLUSH_SECONDS = 0.25
START = LogPosition(0, 0)
LogLevel = TypeAliasType("LogLevel", Literal["debug", "info", "warning", "error"])


class LogLineBody(BaseModel):
    """One call of `job.log`."""

    attempt: int
    line: int = Field(description="counts from 1 within the attempt; a gap shows that lines were dropped")
    level: LogLevel
    message: str = Field(examples=["read 250 rows"])
    fields: dict[str, Any]
    at: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])


class LogPage(BaseModel):
    items: list[LogLineBody]
    nextCursor: str | None


def logs_router(node: Node) -> APIRouter:
    """The route of this section."""
    router = APIRouter(prefix="/api/v1/jobs/{jobId}/logs", tags=["jobs"])

    @router.get(
        "",
        operation_id="listJobLogs",
        response_model=LogPage,
        responses=failures(404, 422, 503),
        dependencies=[only("attempt", "level", "limit", "cursor")],
    )
    async def list_logs(
        jobId: str,  # noqa: N803
        attempt: Annotated[int | None, Query(ge=1, le=MOST_ATTEMPTS, description="of this attempt only")] = None,
        level: Annotated[LogLevel, Query(description="of this level and above")] = "debug",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: str | None = None,
    ) -> Response:
        """What the job's handler logged, oldest first."""
        parsed = tenant_job(jobId)
        after = _read_position(parsed, cursor) if cursor is not None else START
        await node.job_logs.flushed(seconds=FLUSH_SECONDS)
        async with node.database.connection() as connection:
            lines = await logs_after(
                connection,
                DEFAULT_TENANT,
                parsed,
                after=after,
                least_level=LEVELS[level],
                attempt=attempt,
                limit=limit + 1,
            )
            if not lines and not await job_exists(connection, DEFAULT_TENANT, parsed):
                raise NotFound("There is no such job.")
        last = _cursor(parsed, lines[limit - 1].position) if len(lines) > limit else None
        return json_answer(orjson.dumps({"items": [_body(line) for line in lines[:limit]], "nextCursor": last}))

    return router


def _body(line: RecordedLine) -> dict[str, object]:
    return {
        "attempt": line.attempt,
        "line": line.position.line,
        "level": Level(line.level).name.lower(),
        "message": line.message,
        "fields": orjson.Fragment(line.fields or "{}"),
        "at": rfc3339(line.at),
    }


def _cursor(job_id: UUID, position: LogPosition) -> str:
    return write_cursor(f"logs of {job_id}", b"".join(number.to_bytes(4, "big") for number in position))


def _read_position(job_id: UUID, cursor: str) -> LogPosition:
    position = read_cursor(f"logs of {job_id}", cursor)
    return LogPosition(int.from_bytes(position[:4], "big"), int.from_bytes(position[4:], "big"))
