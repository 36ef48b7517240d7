"""Requests that act in every cell, and whose answers are added: retrying and cancelling jobs by filter."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from duly.api.contract.compression import compressed
from duly.api.server.scope_values import RECORDED, UNAUDITED
from duly.cells.local_call import CellAnswer, Cells
from duly.cells.rules import cell_of_text
from duly.errors import CellAway

AWAY_HEADER: Final = "Duly-Cells-Away"
# Members of a filter that are ids of the cell of all jobs that match.
_NAMES_CELL: Final = frozenset({"batchId", "parentId"})


async def act_in_all(cells: Cells, scope: Scope, receive: Receive, send: Send) -> None:
    """Lets each cell that the filter concerns act, and adds their answers. The first one that serves records the action
    in its audit log; from then on, all of them act at once.

    Raises:
        CellAway: no such cell serves.
    """
    rest = cells_of_filter(scope["query_string"], cells.count)
    answers: list[CellAnswer] = []
    while rest and all(answer.away for answer in answers):
        cell, *rest = rest
        answer, others = await _act(cells, scope, cell, rest)
        answers += [answer, *others]
        rest = rest if not others else []
    response = _refusal(answers) or summed(answers, cells.count)
    await compressed(response)(scope, receive, send)


async def _act(cells: Cells, scope: Scope, first: int, rest: Sequence[int]) -> tuple[CellAnswer, Sequence[CellAnswer]]:
    """Returns the answer of the first cell, and those of the others; none if it has not recorded the action."""
    may: asyncio.Future[bool] = asyncio.get_running_loop().create_future()  # whether the others may act

    def settle(*, recorded: bool) -> None:
        if not may.done():
            may.set_result(recorded)

    async def act() -> CellAnswer:
        try:
            return await cells.ask(first, {**scope, RECORDED: partial(settle, recorded=True)}, seconds=None)
        finally:
            settle(recorded=False)

    async def follow() -> Sequence[CellAnswer]:
        if not await may:
            return ()
        return await cells.ask_all({**scope, UNAUDITED: True}, cells=rest, seconds=None)

    return await asyncio.gather(act(), follow())


def cells_of_filter(query: bytes, count: int) -> list[int]:
    """Returns the cells that may have jobs that match a filter: those of its batches or parents, or all."""
    try:
        members = parse_qsl(query.decode("ascii"), errors="strict")
    except ValueError:
        return list(range(count))
    named = {cell_of_text(text, count) for name, text in members if name in _NAMES_CELL}
    return sorted(cell for cell in named if cell is not None) or list(range(count))


def _refusal(answers: Sequence[CellAnswer]) -> Response | None:
    """Returns the first answer that is an error, other than that of a cell that is away."""
    refused = next((answer for answer in answers if not answer.ok and not answer.away), None)
    return passed_on(refused) if refused is not None else None


def passed_on(answer: CellAnswer) -> Response:
    """Returns the answer of one cell as the response to the request."""
    response = Response(answer.body, answer.status)
    response.raw_headers = list(answer.headers.items())
    return response


def summed(answers: Sequence[CellAnswer], count: int) -> Response:
    """Returns the response with the sum of each number, and whether each truth is true everywhere.

    Raises:
        CellAway: no cell answered.
    """
    away, answered = [answer.cell for answer in answers if answer.away], [each for each in answers if not each.away]
    if not answered:
        raise CellAway(away[0], count)
    bodies: list[dict[str, Any]] = [answer.json() for answer in answered]
    total: dict[str, Any] = {
        name: all(body[name] for body in bodies) if isinstance(value, bool) else sum(body[name] for body in bodies)
        for name, value in bodies[0].items()
    }
    headers = {}
    if away:
        total |= {"incomplete": True, "cellsAway": away}
        headers[AWAY_HEADER] = ", ".join(map(str, away))
    return Response(orjson.dumps(total), answered[0].status, headers, "application/json")
