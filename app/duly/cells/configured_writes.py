"""Changes of the configuration, made in cell 0 or in the cell of a schedule, and copied before the answer is sent."""

from typing import Any, Final

import orjson
from starlette.types import Message, Receive, Scope, Send

from duly.api.schedules.schedules import PATH as SCHEDULES
from duly.api.server.scope_values import body_of, tenant_of
from duly.cells.copier import ConfigurationCopier
from duly.cells.declared_schedules import require_fitting
from duly.cells.local_call import Cells
from duly.cells.placing import Places
from duly.cells.sums import passed_on

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
        """
        if pattern.startswith(SCHEDULES):
            await self._cells.forward(self.cell_of_schedule(path, scope), scope, receive, send)
        elif pattern == _TYPES:
            await self._declare(scope, receive, send)
        else:
            await self._write(scope, receive, send)

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Changes cell 0, and copies before the answer is sent."""

        async def copied(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _FIRST_ERROR:
                message["headers"] = [*message["headers"], *_behind(await self._copier.copy())]
            await send(message)

        await self._cells.forward(HOME, scope, receive, copied)

    async def _declare(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Changes the other cells first: each compares its own waiting jobs, and may refuse. Cell 0 has the last word:
        after a refusal, the others get its declarations again.
        """
        cells = self._cells
        cells.require(HOME)
        answers = await cells.ask_all(scope, cells=[cell for cell in cells.serving() if cell != HOME])
        refused = next((each for each in answers if not each.ok and not each.away and each.status != _NOT_FOUND), None)
        if refused is not None:
            await self._copier.copy()
            await passed_on(refused)(scope, receive, send)
            return

        async def restored(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_behind(await self._copier.copy())]
            await send(message)

        await cells.forward(HOME, scope, receive, restored)

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
