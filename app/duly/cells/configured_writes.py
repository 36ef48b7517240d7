"""Changes of the configuration, made in cell 0 or in the cell of a schedule, and copied before the answer is sent."""

import asyncio
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from duly.api.queues.job_type_declarations import parameters_of
from duly.api.queues.job_types import PATH as JOB_TYPES
from duly.api.schedules.schedules import PATH as SCHEDULES
from duly.api.server.scope_values import UNAUDITED, body_of, tenant_of
from duly.cells.copier import ConfigurationCopier
from duly.cells.declared_schedules import require_fitting
from duly.cells.local_call import Cells
from duly.cells.placing import Places
from duly.cells.sums import passed_on
from duly.errors import CellAway, JobTypeInUse, WaitingJobsDoNotFit
from duly.lifecycle.job_types.declare import MOST_COUNTED, count_users, in_use
from duly.lifecycle.job_types.waiting_jobs import compare_waiting_jobs

HOME: Final = 0
BEHIND_HEADER: Final = b"duly-cells-behind"
_TYPES: Final = "/api/v1/job-types/{type}"
_FIRST_ERROR: Final = 300
_NOT_FOUND: Final = 404


class ConfiguredWrites:
    """Serves authenticated requests that change the configuration.

    Args:
        cells: the cells.
        copier: copies the configuration of cell 0.
    """

    def __init__(self, cells: Cells, copier: ConfigurationCopier) -> None:
        self._cells = cells
        self._copier = copier

    async def __call__(self, pattern: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; `pattern` is the template of its path.

        Raises:
            CellAway: the cell that has to be changed does not serve.
            Invalid: the job of a schedule would be of another cell.
            JobTypeInUse: jobs of a type to be deleted wait or run.
            WaitingJobsDoNotFit: waiting jobs do not fit the schema of a job type.
        """
        if pattern.startswith(SCHEDULES):
            await self._cells.forward(self.cell_of_schedule(path, scope), scope, receive, send)
        elif pattern == _TYPES:
            await self._declare(path, scope, receive, send)
        else:
            await self._write(scope, receive, send)

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Changes cell 0, and copies before the answer is sent."""

        async def copied(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _FIRST_ERROR:
                message["headers"] = [*message["headers"], *_behind(await self._copier.copy())]
            await send(message)

        await self._cells.forward(HOME, scope, receive, copied)

    async def _declare(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Changes the other cells first: each looks at its own jobs, and may refuse. Cell 0 has the last word:
        after a refusal, the others get its declarations again.

        Raises:
            CellAway: cell 0 does not serve.
            JobTypeInUse: jobs of the type wait or run in any cell.
            WaitingJobsDoNotFit: waiting jobs of any cell do not fit the new schema.
        """
        cells = self._cells
        cells.require(HOME)
        others = [cell for cell in cells.serving() if cell != HOME]
        answers = await cells.ask_all({**scope, UNAUDITED: True}, cells=others)
        refused = next((each for each in answers if not each.ok and not each.away and each.status != _NOT_FOUND), None)
        answer = refused or await cells.ask(HOME, scope, seconds=None)
        behind = await self._copier.copy()
        if answer.away and not answer.body:
            raise CellAway(HOME, cells.count)
        if (of_all := await self._refusal_of_all(answer.code, path, scope)) is not None:
            raise of_all
        response = passed_on(answer)
        if refused is None:
            response.raw_headers = [*response.raw_headers, *_behind(behind)]
        await response(scope, receive, send)

    async def _refusal_of_all(
        self, code: str | None, path: str, scope: Scope
    ) -> JobTypeInUse | WaitingJobsDoNotFit | None:
        """Returns the refusal with the jobs of all cells that serve, where one has refused for its own jobs."""
        tenant_id, job_type = tenant_of(scope), _type_in(path)
        databases = [self._cells.nodes[cell].database for cell in self._cells.serving()]
        if code == WaitingJobsDoNotFit.code:
            fits = parameters_of(Request(scope)).fits
            compared = await asyncio.gather(
                *(compare_waiting_jobs(database, tenant_id, job_type, fits) for database in databases)
            )
            unfit, examined = (sum(counts) for counts in zip(*compared, strict=True))
            return WaitingJobsDoNotFit.of(job_type, count=unfit, examined=examined) if unfit else None
        if code == JobTypeInUse.code:
            users = sum(await asyncio.gather(*(count_users(database, tenant_id, job_type) for database in databases)))
            return in_use(job_type, min(users, MOST_COUNTED)) if users else None
        return None

    def cell_of_schedule(self, path: str, scope: Scope) -> int:
        """Returns the cell of the schedule that a request changes.

        Raises:
            Invalid: its job would be of another cell.
        """
        body = _members(scope)
        name = path.removeprefix(SCHEDULES).removeprefix("/").partition("/")[0] or body.get("name")
        if not isinstance(name, str):
            return HOME  # which refuses it
        return require_fitting(body.get("submission"), name, Places(tenant_of(scope), self._cells.count))


def _type_in(path: str) -> str:
    return path.removeprefix(f"{JOB_TYPES}/")


def _members(scope: Scope) -> dict[str, Any]:
    """Returns the members of the body; none if it is not an object, which the cell refuses."""
    if scope["method"] == "DELETE":
        return {}
    try:
        value: object = orjson.loads(body_of(scope))
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _behind(numbers: list[int]) -> list[tuple[bytes, bytes]]:
    return [(BEHIND_HEADER, ", ".join(map(str, numbers)).encode())] if numbers else []
