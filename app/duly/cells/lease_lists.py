"""Requests about several leases, whose jobs may live in several cells: heartbeats and completions of many at once."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from duly.api.contract.compression import compressed
from duly.api.contract.responses import json_response
from duly.api.jobs.submission_reader import reader_of
from duly.api.leases.models import CompletionsRequest, HeartbeatsRequest
from duly.api.server.scope_values import PARSED
from duly.cells.local_call import CellAnswer, Cells
from duly.cells.rules import cell_of_signed
from duly.domain.json_writer import dump_text
from duly.errors import CellAway
from duly.lifecycle.submit.validate_model import read_model


class LeaseList(NamedTuple):
    """Body of such a request: its model, the member that lists the leases, and that of an item with its id."""

    model: type[BaseModel]
    member: str
    id_member: str | None

    def id_of(self, item: Any) -> str:
        """Returns the id of the lease of an item."""
        text: str = item if self.id_member is None else item[self.id_member]
        return text


COMPLETIONS = LeaseList(CompletionsRequest, "leases", "leaseId")
HEARTBEATS = LeaseList(HeartbeatsRequest, "leaseIds", None)


class ByLeases:
    """Splits the list of a request by cell, and joins the answers in the order of the list.

    Args:
        cells: the cells.
        leases: the form of the body.
        endpoint: handles a request whose leases are all of one cell; it finds the body's value in the scope.
    """

    def __init__(self, cells: Cells, leases: LeaseList, endpoint: ASGIApp) -> None:
        self._cells = cells
        self._leases = leases
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["query_string"]:  # which it refuses
            await self._endpoint(scope, receive, send)
            return
        scope[PARSED] = value = reader_of(scope).json(scope)
        read_model(self._leases.model, value)
        items: list[Any] = value[self._leases.member]  # type: ignore[index]  # the model was read
        found = [cell_of_signed(self._leases.id_of(item), self._cells.count) or 0 for item in items]
        cells = set(found)
        if len(cells) == 1 and self._cells.serves(found[0]):
            self._cells.move(scope, found[0])
            await self._endpoint(scope, receive, send)
            return
        await self._split(scope, items, found, receive=receive, send=send)

    async def _split(
        self, scope: Scope, items: Sequence[Any], found: Sequence[int], *, receive: Receive, send: Send
    ) -> None:
        parts: defaultdict[int, list[Any]] = defaultdict(list)
        for item, cell in zip(items, found, strict=True):
            parts[cell].append(item)
        bodies = {cell: dump_text({self._leases.member: part}).encode() for cell, part in parts.items()}
        answers = await self._cells.ask_all(scope, bodies=bodies)
        joined = {answer.cell: iter(self._items(answer, parts[answer.cell])) for answer in answers}
        body = orjson.dumps({"leases": [next(joined[cell]) for cell in found]})
        await compressed(json_response(body))(scope, receive, send)

    def _items(self, answer: CellAnswer, part: Sequence[Any]) -> list[Any]:
        """Returns the items of one cell's answer; each has the cell's error if it could not answer."""
        if answer.ok:
            items: list[Any] = answer.json()["leases"]
            return items
        error = CellAway(answer.cell, self._cells.count).content if answer.away else answer.json()["error"]
        return [{"leaseId": self._leases.id_of(item), "error": error} for item in part]
