"""`GET /api/v1/jobs/{jobId}/logs`: log lines of a job's handler, attempt by attempt."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from duly.api.contract.cursors import numbers_in_cursor, write_cursor
from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, page_response
from duly.api.server.scope_values import node_of, reads_payload, tenant_of
from duly.domain.log_lines import LEVELS, Level
from duly.domain.timestamps import rfc3339
from duly.errors import NotFound
from duly.handlers.registry import MOST_ATTEMPTS
from duly.store.ledger.job_logs import LogPosition, RecordedLine, job_exists, read_logs_after

# Longest wait for lines of an attempt that has just ended on this node and are not in the table yet.
FLUSH_SECONDS = 2.0
START = LogPosition(0, 0)
LogLevel = TypeAliasType("LogLevel", Literal["debug", "info", "warning", "error"])


class LogLineBody(BaseModel):
    """One call of `job.log`."""

    attempt: int
    line: int = Field(description="Number of the line within its attempt, from 1. A gap means that lines were dropped.")
    level: LogLevel
    message: str | None = Field(examples=["read 250 rows"], description="Null without the scope `jobs:payload`.")
    fields: dict[str, Any] | None = Field(description="Null without the scope `jobs:payload`.")
    at: TimeText = Field(examples=["2026-01-27T10:00:00.000Z"])


class LogPage(BaseModel):
    items: list[LogLineBody]
    nextCursor: str | None


router = APIRouter(prefix="/api/v1/jobs/{jobId}/logs", tags=["jobs"])


@router.get(
    "",
    operation_id="listJobLogs",
    summary="List the log lines of a job",
    response_model=LogPage,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query("attempt", "level", "limit", "cursor")],
)
async def list_job_logs(
    request: Request,
    jobId: str,  # noqa: N803  # the contract's spelling
    *,
    attempt: Annotated[int | None, Query(ge=1, le=MOST_ATTEMPTS, description="Lines of this attempt only.")] = None,
    level: Annotated[LogLevel, Query(description="Lines of this level and above.")] = "debug",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Response:
    """Returns the log lines of a job's handler, oldest first."""
    job_id, node, tenant_id = job_id_in_path(jobId), node_of(request), tenant_of(request)
    list_name = f"logs of {job_id}"
    after = LogPosition(*numbers_in_cursor(list_name, cursor, start=START))
    await node.job_logs.flushed(seconds=FLUSH_SECONDS)
    async with node.database.connection() as connection:
        lines = await read_logs_after(
            *(connection, tenant_id, job_id),
            after=after,
            least_level=LEVELS[level],
            attempt=attempt,
            limit=limit + 1,
        )
        if not lines and not await job_exists(connection, tenant_id, job_id):
            raise NotFound("Job not found.")
    payload = reads_payload(request)
    last = write_cursor(list_name, lines[limit - 1].position) if len(lines) > limit else None
    return page_response([_body(line, payload=payload) for line in lines[:limit]], next_cursor=last)


def _body(line: RecordedLine, *, payload: bool) -> dict[str, object]:
    return {
        "attempt": line.attempt,
        "line": line.position.line,
        "level": Level(line.level).name.lower(),
        "message": line.message if payload else None,
        "fields": orjson.Fragment(line.fields or "{}") if payload else None,
        "at": rfc3339(line.at),
    }
