"""Retries and cancels by filter act in all cells at once, and are in the audit log before."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from duly.domain.ids import LARGEST
from duly.node import Node
from tests.support.cells import CELLS, CellService, key_in
from tests.support.service import BOUND_SECONDS

CANCEL = "/api/v1/jobs/cancel"


@pytest.fixture
async def all_at_once(cells: CellService, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Lets no cell go on with its first page before all of them have begun. Returns a function that returns, in order,
    what was done: `recorded`, or the first `page` of a cell.
    """
    done: list[str] = []
    barrier = asyncio.Barrier(CELLS)

    def watch(node: Node) -> None:
        actions = node.bulk_actions
        record, page = actions._record, actions._page

        async def recording(tenant_id: int, by: Any, action: str) -> None:
            await record(tenant_id, by, action)
            if by is not None:
                done.append("recorded")

        async def paging(tenant_id: int, job_filter: Any) -> Any:
            if job_filter.before == LARGEST:  # the first page
                done.append("page")
                await barrier.wait()
            return await page(tenant_id, job_filter)

        monkeypatch.setattr(actions, "_record", recording)
        monkeypatch.setattr(actions, "_page", paging)

    for node in cells.nodes:
        watch(node)

    def taken() -> list[str]:
        steps = list(done)
        done.clear()
        return steps

    return taken


async def test_all_cells_act_at_once_from_the_entry_in_the_audit_log_on(
    cells: CellService, all_at_once: Callable[[], list[str]]
) -> None:
    for cell in range(CELLS):
        await cells.submit("echo", delaySeconds=600, uniqueKey=key_in(cell))
    async with asyncio.timeout(BOUND_SECONDS):
        counted = await cells.client.post(CANCEL, params={"type": "echo", "dryRun": "true"})
        assert (counted.status_code, counted.json()) == (200, {"count": CELLS, "complete": True})
        assert all_at_once() == ["page"] * CELLS
        answer = await cells.client.post(CANCEL, params={"type": "echo"})
    assert (answer.status_code, answer.json()) == (202, {"cancelled": CELLS})
    assert all_at_once() == ["recorded", *["page"] * CELLS]
