"""One stream of all jobs over all cells: each event once, in order within a cell, also while a cell is away."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable

from duly.client import AsyncClient
from duly.domain.stream_position import before_transaction
from tests.cells.test_merged_reads import JOBS, submit_to
from tests.support.cells import CellService
from tests.support.keys import OWN
from tests.support.service import BOUND_SECONDS, eventually
from tests.support.tenant_stream import Frame, following_all
from tests.support.websocket_client import socket_to

PATH = "/api/v1/events/stream"
AWAY = 2
StartCells = Callable[..., Awaitable[CellService]]
Frames = AsyncGenerator[Frame, None]


async def take_jobs(frames: Frames, count: int) -> list[Frame]:
    """Returns the next events of jobs."""
    taken: list[Frame] = []
    async with asyncio.timeout(BOUND_SECONDS):
        while len(taken) < count:
            frame = await anext(frames)
            if frame.data is not None and "jobId" in frame.data:
                taken.append(frame)
    return taken


async def next_of(frames: Frames, event: str) -> Frame:
    """Returns the next frame of this type, and skips all others."""
    async with asyncio.timeout(BOUND_SECONDS):
        while (frame := await anext(frames)).data != {"type": event, "cell": AWAY}:
            pass
    return frame


async def test_a_stream_has_the_events_of_all_cells(shared_cells: CellService) -> None:
    async with following_all(shared_cells, queue="all") as frames:
        await anext(frames)
        ids = [await submit_to(shared_cells, cell, queue="all") for cell in (0, 1, 2, 3, 2, 1)]
        seen = await take_jobs(frames, len(ids))
    assert {frame.place for frame in seen} == {(job_id, 0) for job_id in ids}


async def test_every_frame_resumes_each_cell_where_it_was(shared_cells: CellService) -> None:
    async with following_all(shared_cells, queue="resumed") as frames:
        start = await anext(frames)
        ids = {await submit_to(shared_cells, cell, queue="resumed") for cell in (0, 1, 2, 3, 0, 1)}
        seen = await take_jobs(frames, len(ids))
    for index, position in enumerate([start, *seen]):
        async with following_all(shared_cells, last_event_id=position.id, queue="resumed") as frames:
            rest = await take_jobs(frames, len(ids) - index)
            assert {frame.place[0] for frame in rest} == ids - {frame.place[0] for frame in seen[:index]}


async def test_a_cell_that_is_away_stops_no_other_and_goes_on_without_gap(cells: CellService) -> None:
    async with following_all(cells, type="echo") as frames:
        await anext(frames)
        first = await submit_to(cells, AWAY)
        assert [frame.place for frame in await take_jobs(frames, 1)] == [(first, 0)]
        await cells.take_away(AWAY)
        gone = await next_of(frames, "duly.cell_away")
        assert gone.id is None
        others = [await submit_to(cells, cell) for cell in (0, 1, 3)]
        assert {frame.place[0] for frame in await take_jobs(frames, 3)} == set(others)

        # Committed meanwhile: the cell still serves others, but not this process.
        late = str(cells.nodes[AWAY].clock.ids.new())
        await cells.sql(AWAY, _COPY, first, late)
        await cells.bring_back(AWAY)
        seen = [frame async for frame in _until_back_and(frames, late)]
        assert Counter(frame.place for frame in seen if frame.event == "job_submitted") == {(late, 0): 1}
        after = await submit_to(cells, AWAY)
        assert [frame.place for frame in await take_jobs(frames, 1)] == [(after, 0)]


_COPY = """
with job as (
    insert into jobs (tenant_id, job_id, run_at, timeout_seconds, priority, max_attempts, callback_events,
                      type, queue, parameters)
    select tenant_id, $2::text::uuid, run_at, timeout_seconds, priority, max_attempts, callback_events, type, queue,
           parameters
    from jobs where job_id = $1::text::uuid returning *
)
insert into scheduled (tenant_id, job_id, run_at, reason, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, queue, type)
select tenant_id, job_id, run_at, 0, 0, 0, timeout_seconds, priority, 0, 0, callback_events, queue, type from job
"""


async def _until_back_and(frames: Frames, job_id: str) -> Frames:
    """Yields the events until the cell is back, and this job was submitted."""
    back = found = False
    async with asyncio.timeout(BOUND_SECONDS):
        while not (back and found):
            frame = await anext(frames)
            back |= frame.data == {"type": "duly.cell_back", "cell": AWAY}
            found |= frame.event == "job_submitted" and frame.place[0] == job_id
            if frame.data is not None:
                yield frame


async def test_a_stream_begins_while_a_cell_is_away_and_takes_it_in_later(cells: CellService) -> None:
    await cells.take_away(AWAY)
    async with following_all(cells) as frames:
        start = await anext(frames)
        await next_of(frames, "duly.cell_away")
        here = await submit_to(cells, 0)
        assert [frame.place for frame in await take_jobs(frames, 1)] == [(here, 0)]
        await cells.bring_back(AWAY)
        await next_of(frames, "duly.cell_back")
        there = await submit_to(cells, AWAY)
        assert [frame.place for frame in await take_jobs(frames, 1)] == [(there, 0)]
    async with following_all(cells, last_event_id=start.id) as frames:
        assert [frame.place for frame in await take_jobs(frames, 1)] == [(here, 0)]


async def test_a_position_of_one_database_is_refused_with_the_reason(shared_cells: CellService) -> None:
    for text, message in ((str(before_transaction(5)), "4 cells"), ("nothing", "not the id of a frame")):
        answer = await shared_cells.client.get(PATH, params={"lastEventId": text})
        assert answer.status_code == 422
        assert message in answer.json()["error"]["details"]["errors"][0]["message"]


async def test_a_socket_follows_the_jobs_of_all_cells_and_resumes(shared_cells: CellService) -> None:
    async with socket_to(shared_cells) as socket:
        begun = await socket.request("subscribe", ref="a", filter={"queue": "socket"})
        assert begun["type"] == "subscribed"
        ids = [await submit_to(shared_cells, cell, queue="socket") for cell in (3, 2, 1, 0)]
        frames = await socket.receive_many(4)
        assert {frame["jobId"] for frame in frames} == set(ids)
    async with socket_to(shared_cells) as socket:
        await socket.send("subscribe", filter={"queue": "socket"}, after=frames[1]["id"])
        assert {frame["jobId"] for frame in await socket.receive_many(2)} == {frame["jobId"] for frame in frames[2:]}


async def test_a_ticket_is_valid_once_whichever_cell_its_stream_is_in(shared_cells: CellService) -> None:
    for cell in range(4):
        job_id = await submit_to(shared_cells, cell, queue="tickets")
        for target, path in (({"jobId": job_id}, f"/api/v1/jobs/{job_id}/events/stream"), ({"all": True}, PATH)):
            made = await shared_cells.client.post("/api/v1/stream-tickets", json=target)
            assert made.status_code == 201, made.text
            ticket = {"ticket": made.json()["ticket"]}
            async with shared_cells.client.stream("GET", path, params=ticket) as answer:
                assert answer.status_code == 200
            assert (await shared_cells.client.get(path, params=ticket)).status_code == 401
    with_socket = (await shared_cells.client.post("/api/v1/stream-tickets", json={"all": True})).json()["ticket"]
    async with socket_to(shared_cells, f"/ws/jobs?ticket={with_socket}") as socket:
        await socket.is_open()


async def test_a_session_of_the_dashboard_and_a_ticket_of_a_key_are_valid_for_every_cell(
    start_cells: StartCells,
) -> None:
    cells = await start_cells(api_key=OWN)
    key = {"Authorization": f"Bearer {OWN}"}
    made = await cells.client.post("/ui/session", json={"key": OWN})
    assert made.status_code == 200, made.text
    own_page = {"Sec-Fetch-Site": "same-origin"}
    for node in cells.nodes:
        path = f"{JOBS}/{node.clock.ids.new()}"
        body = {"type": "echo", "parameters": {}, "delaySeconds": 3600}
        assert (await cells.client.put(path, json=body, headers=key)).status_code == 202
        assert (await cells.client.get(path, headers=own_page)).status_code == 200
        target = {"jobId": path.rpartition("/")[2]}
        ticket = (await cells.client.post("/api/v1/stream-tickets", json=target, headers=key)).json()["ticket"]
        cells.client.cookies.clear()
        async with cells.client.stream("GET", f"{path}/events/stream", params={"ticket": ticket}) as answer:
            assert answer.status_code == 200
        assert (await cells.client.get(path)).status_code == 401
        cells.client.cookies.update(made.cookies)

    async def all_listed() -> bool:  # on a busy machine a cell may seem silent for a moment
        return len((await cells.client.get(JOBS, headers=own_page)).json().get("items", [])) == cells.count

    await eventually(all_listed)


async def test_the_python_client_follows_all_cells(shared_cells: CellService) -> None:
    async with AsyncClient(shared_cells.url) as client:
        frames = client.stream_all(queues=["client"])
        first = asyncio.ensure_future(anext(frames))
        ids: set[str] = set()

        async def begun() -> bool:
            ids.add(await submit_to(shared_cells, 0, queue="client"))
            return first.done()

        await eventually(begun)
        ids |= {await submit_to(shared_cells, cell, queue="client") for cell in (1, 2, 3)}
        seen = {(await first)["jobId"]}
        async with asyncio.timeout(BOUND_SECONDS):
            while not {shared_cells.cell_of(job_id) for job_id in seen} >= {1, 2, 3}:
                seen.add((await anext(frames))["jobId"])
        assert seen <= ids
