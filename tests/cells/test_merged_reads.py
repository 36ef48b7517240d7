"""Lists, queues and figures read all cells at once, and say what they lack."""

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.cells import CELLS, CellService
from tests.support.service import eventually

JOBS, BATCHES, QUEUES = "/api/v1/jobs", "/api/v1/batches", "/api/v1/queues"
AWAY = 2
MERGED = (
    *(
        JOBS,
        BATCHES,
        QUEUES,
        f"{QUEUES}/default",
        "/api/v1/job-types?limit=5",
        "/api/v1/job-types/echo",
        "/api/v1/schedules",
    ),
    *("/api/v1/nodes", "/api/v1/figures", "/api/v1/scaling", "/api/v1/audit"),
)


async def submit_to(cells: CellService, cell: int, **members: Any) -> str:
    """Submits a job whose id is of this cell, which does not run."""
    job_id = str(cells.nodes[cell].clock.ids.new())
    body = {"type": "echo", "parameters": {}, "delaySeconds": 3600, **members}

    async def accepted() -> bool:
        answer = await cells.client.put(f"{JOBS}/{job_id}", json=body)
        assert answer.status_code in {200, 202, 503}, answer.text
        return answer.status_code != 503

    await eventually(accepted)
    return job_id


async def complete(cells: CellService, path: str, **query: Any) -> dict[str, Any]:
    """Returns the body of a response that lacks nothing; on a busy machine a cell may seem silent for a moment."""

    async def read() -> dict[str, Any] | None:
        answer = await cells.client.get(path, params=query)
        body: dict[str, Any] = answer.json()
        if answer.status_code == 503 or "incomplete" in body:
            return None
        assert answer.status_code == 200, answer.text
        assert "Duly-Cells-Away" not in answer.headers
        return body

    body: dict[str, Any] = await eventually(read)
    return body


async def pages_of(cells: CellService, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Returns all pages of a list."""
    pages: list[list[dict[str, Any]]] = []
    cursor = None
    while cursor is not None or not pages:
        given = query | ({} if cursor is None else {"cursor": cursor})
        page = await complete(cells, path, **given)
        assert page.keys() == {"items", "nextCursor"}
        pages.append(page["items"])
        cursor = page["nextCursor"]
    return pages


@pytest.fixture
async def one_away(shared_cells: CellService) -> AsyncIterator[CellService]:
    """Process of which one cell is away for the test."""
    await shared_cells.take_away(AWAY)
    try:
        yield shared_cells
    finally:
        await shared_cells.bring_back(AWAY)


async def test_the_pages_of_all_cells_are_one_list_newest_first(shared_cells: CellService) -> None:
    # The homes have no pattern that fits the pages.
    ids = [await submit_to(shared_cells, cell, queue="pages") for cell in (0, 0, 3, 0, 1, 3, 3, 2, 0, 1, 0)]
    pages = await pages_of(shared_cells, JOBS, queue="pages", limit=3)
    assert [len(page) for page in pages] == [3, 3, 3, 2]
    assert [job["jobId"] for page in pages for job in page] == sorted(ids, reverse=True)


async def test_a_list_by_parent_or_batch_reads_the_cell_of_that_alone(shared_cells: CellService) -> None:
    jobs = [{"type": "echo", "parameters": {}, "delaySeconds": 3600}] * 3
    batch = (await shared_cells.request("POST", f"{JOBS}/batch", json={"jobs": jobs, "name": "whole"})).json()
    home = shared_cells.cell_of(batch["batchId"])
    other = (home + 1) % 4
    await shared_cells.take_away(other)
    try:
        page = await complete(shared_cells, JOBS, batchId=batch["batchId"])
        assert [job["jobId"] for job in page["items"]] == sorted(batch["jobIds"], reverse=True)
        parent = str(shared_cells.nodes[other].clock.ids.new())
        lacking = await shared_cells.client.get(JOBS, params={"parentId": parent})
        assert (lacking.status_code, lacking.json()["error"]["code"]) == (503, "CELL_AWAY"), lacking.text
    finally:
        await shared_cells.bring_back(other)
    batches = await pages_of(shared_cells, BATCHES, limit=2)
    assert batch["batchId"] in {each["batchId"] for page in batches for each in page}


async def test_a_queue_is_the_sum_of_its_parts(shared_cells: CellService) -> None:
    for cell in (0, 1, 1, 3):
        await submit_to(shared_cells, cell, queue="parts")
    queue = await complete(shared_cells, f"{QUEUES}/parts")
    assert (queue["queue"], queue["scheduled"], queue["depth"]) == ("parts", 4, 0)
    [page] = await pages_of(shared_cells, QUEUES, limit=200)
    assert [each["queue"] for each in page] == sorted({each["queue"] for each in page})
    assert next(each for each in page if each["queue"] == "parts")["scheduled"] == 4


async def test_types_that_workers_declared_in_some_cells_are_the_same_whichever_cell_is_next(
    shared_cells: CellService,
) -> None:
    """Each worker declares the types of its handlers in the cells that it works, each at a time of its own."""
    declare = """
        insert into declared_types
        select (json_populate_record(d, json_build_object('type', $1::text, 'declared_at', $2::timestamptz))).*
        from declared_types d where type = 'echo'
    """
    times = {cell: datetime(2026, 5, 4, cell, tzinfo=UTC) for cell in (1, 3)}
    for cell, at in times.items():
        await shared_cells.sql(cell, declare, "zz.in-two", at)
    await shared_cells.sql(2, declare, "zz.in-one", times[1])
    try:
        for _ in range(2 * CELLS):
            pages = await pages_of(shared_cells, "/api/v1/job-types", limit=20)
            items = [item for page in pages for item in page]
            assert [len(page) for page in pages[:-1]] == [20] * (len(pages) - 1)
            assert [item["type"] for item in items] == sorted({item["type"] for item in items})
            assert [(item["type"], item["declaredAt"]) for item in items[-2:]] == [
                ("zz.in-one", "2026-05-04T01:00:00.000Z"),
                ("zz.in-two", "2026-05-04T03:00:00.000Z"),
            ]
            for item in items[-2:]:
                assert await complete(shared_cells, f"/api/v1/job-types/{item['type']}") == item
    finally:
        await shared_cells.sql("delete from declared_types where type like 'zz.%'")


async def test_a_process_is_one_node_with_the_slots_of_all_its_cells(shared_cells: CellService) -> None:
    [node] = (await complete(shared_cells, "/api/v1/nodes"))["items"]
    rows = await shared_cells.sql("select slots from nodes")
    assert len(rows) == 4
    assert node["slots"] == sum(row[0] for row in rows)
    scaling = await complete(shared_cells, "/api/v1/scaling")
    assert scaling["desiredSlots"] >= scaling["running"]
    assert (await complete(shared_cells, "/api/v1/job-types/echo"))["workers"] == 1


async def test_figures_are_the_sums_of_all_cells(shared_cells: CellService) -> None:
    for cell in range(4):
        await submit_to(shared_cells, cell, queue="figures")

    async def counted() -> bool:  # the loop of a node may be about to write what it has counted
        for node in shared_cells.nodes:
            await node.figures.flush()
        figures = await complete(shared_cells, "/api/v1/figures", queue="figures", step=3600)
        submitted = sum(figures["series"]["submitted"])
        assert submitted <= 4
        return bool(submitted == 4)

    await eventually(counted)


async def test_the_audit_log_of_all_cells_is_read_page_by_page(shared_cells: CellService) -> None:
    record = """
    insert into audit (tenant_id, actor, action, subject, at)
    values (1, 'tests', 'test', $1, now() + $2 * interval '1 s')
    """
    subjects = [f"{cell}-{turn}" for turn in range(5) for cell in (1, 3, 0)]
    for second, subject in enumerate(subjects):
        await shared_cells.sql(int(subject[0]), record, subject, second + 1)
    pages = await pages_of(shared_cells, "/api/v1/audit", actor="tests", limit=4)
    assert [entry["subject"] for page in pages for entry in page] == subjects[::-1]
    assert [len(page) for page in pages] == [4, 4, 4, 3]


async def test_a_response_says_which_cells_it_lacks(one_away: CellService) -> None:
    for path in MERGED:
        answer = await one_away.request("GET", path)
        assert answer.status_code == 200, (path, answer.text)
        away = answer.json()["cellsAway"]
        assert answer.json()["incomplete"] is True
        assert AWAY in away, path
        assert answer.headers["Duly-Cells-Away"] == ", ".join(map(str, away)), path


async def test_a_merged_response_is_one_of_http_like_any_other(one_away: CellService) -> None:
    for cell in (0, 1, 3):
        await submit_to(one_away, cell, queue="large", labels={"text": "x" * 200})
    query = {"queue": "large"}
    head = await one_away.client.head(JOBS, params=query)
    assert (head.status_code, head.content, str(AWAY) in head.headers["Duly-Cells-Away"]) == (200, b"", True)
    async with one_away.client.stream("GET", JOBS, params=query, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    assert (answer.headers["content-encoding"], str(AWAY) in answer.headers["Duly-Cells-Away"]) == ("gzip", True)
    assert b'"incomplete":true' in gzip.decompress(packed)
    problem = {"Accept": "application/problem+json"}
    refused = await one_away.client.get(JOBS, params={"cursor": "none"}, headers=problem)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")


async def test_a_silent_cell_is_away_within_the_time_limit(shared_cells: CellService) -> None:
    with shared_cells.silent(AWAY):
        answer = await shared_cells.request("GET", JOBS, params={"limit": 1})
        assert (answer.status_code, AWAY in answer.json()["cellsAway"]) == (200, True)
    await complete(shared_cells, JOBS, limit=1)


async def test_without_any_cell_lists_are_503(shared_cells: CellService) -> None:
    for cell in range(4):
        await shared_cells.take_away(cell)
    try:
        answer = await shared_cells.client.get(JOBS)
        assert (answer.status_code, answer.json()["error"]["details"]["retryable"]) == (503, True), answer.text
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        for cell in range(4):
            await shared_cells.bring_back(cell)
