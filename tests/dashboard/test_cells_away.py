"""The dashboard over several cells, of which one goes away and comes back."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.dashboard.conftest import ShowDashboard
from tests.support import handlers as test_handlers
from tests.support.cells import CELLS, CellService, cell_database, running_cells
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server

AWAY = 2


@pytest.fixture
async def cells(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[CellService]:
    test_handlers.forget()
    async with (
        databases_of(server).cells(CELLS) as url,
        cell_database(url) as database,
        running_cells(database) as running,
    ):
        yield running


async def test_the_pages_say_which_cell_they_lack(cells: CellService, show: ShowDashboard) -> None:
    for node in cells.nodes:
        job_id = node.clock.ids.new()
        await cells.client.put(f"/api/v1/jobs/{job_id}", json={"type": "echo", "parameters": {}})
        await cells.ended(str(job_id))
    dashboard = show(cells)
    await dashboard.open("/ui/jobs")
    await dashboard.browser.until("return document.querySelectorAll('tbody tr').length === arguments[0]", CELLS)

    await cells.take_away(AWAY)
    await dashboard.open("/ui/nodes")
    await dashboard.shows("Cell 2 is away: what is there is missing from this page.")
    assert await dashboard.axe() == []
    await cells.bring_back(AWAY)
    await dashboard.shows_no("is away")
