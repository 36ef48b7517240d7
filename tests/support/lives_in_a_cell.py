"""Whole lives of jobs in one of several cells."""

from typing import Any

from tests.support.cells import CellService
from tests.support.service import eventually
from tests.support.webhook_receiver import Receiver

TYPES = ("progress", "raise", "echo")


async def run_whole_lives(cells: CellService, cell: int, receiver: Receiver) -> None:
    """Runs jobs of a cell that complete, fail and report progress, until their webhooks are recorded there."""
    ids, before = cells.nodes[cell].clock.ids, await _count_recorded(cells, cell)
    for type_ in TYPES:
        body: dict[str, Any] = {"type": type_, "parameters": {}, "callbackUrl": receiver.url, "maxAttempts": 2}
        answer = await cells.request("PUT", f"/api/v1/jobs/{ids.new()}", json=body)
        assert answer.status_code == 202, answer.text
        await cells.ended(answer.json()["jobId"])
    for _ in TYPES:
        await receiver.next()

    async def recorded() -> bool:  # after the receiver has got them
        return await _count_recorded(cells, cell) >= before + len(TYPES)

    await eventually(recorded)


async def _count_recorded(cells: CellService, cell: int) -> int:
    deliveries = await cells.sql(cell, "select delivery_id from delivery_attempts")
    assert {cells.cell_of(row[0]) for row in deliveries} <= {cell}
    return len(deliveries)
