"""The stream of all jobs: one order, each event exactly once, for every writer and reader."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, nullcontext
from typing import Any
from uuid import UUID

import anyio
import pytest

from duly.domain.ids import SMALLEST
from duly.domain.stream_position import StreamPosition, read_position
from duly.store.ledger import event_tail as store_tail
from duly.stream import ledger_reader, ledger_tail, tenant_feed
from duly.stream.ledger_reader import LedgerReader
from duly.stream.sse import NO_ROOM
from tests.support.handlers import gate
from tests.support.service import Service, eventually, running_service
from tests.support.tenant_stream import PATH, Frame, following_all, frames_of, held_back, in_order, take

StartService = Callable[..., Any]
EVENTS_OF_A_RUN = 3
# A history of 32 MB, written at once, as the job's own worker would over hours.
LONG_HISTORY = """
with gone as (delete from scheduled where job_id = $1)
insert into events (job_id, tenant_id, sequence, kind, attempt, source, data)
select $1::uuid, 1, n, case n when 1 then 1 when 4000 then 10 else 2 end, 1, 'test',
       json_build_object('progress', 1, 'message', repeat('m', 8000))
from generate_series(1, 4000) n
"""


def places(frames: list[Frame]) -> list[tuple[str, int]]:
    return [frame.place for frame in frames]


async def the_tail_is_read(service: Service) -> None:
    async def look() -> bool:
        return service.node.tails.of(1)._start is not None

    await eventually(look)


async def the_tail_is_past(service: Service, job_id: str) -> None:
    async def look() -> bool:
        kept = service.node.tails.of(1)._entries
        return bool(kept) and kept[-1].event.job_id != UUID(job_id)

    await eventually(look)


async def nobody_follows(service: Service) -> None:
    async def look() -> bool:
        return not service.node.tails.of(1)._watches and not service.node.tails.of(1)._entries

    await eventually(look)


async def test_a_stream_begins_now_and_tells_of_all_jobs(service: Service) -> None:
    await service.run("echo")
    async with following_all(service) as frames:
        first = await service.run("echo", {"n": 1})
        second = await service.run("fail")
        told = await take(frames, 2 * EVENTS_OF_A_RUN)
    assert [frame.data["type"] for frame in told if frame.data] == [
        *("job_submitted", "job_started", "job_completed"),
        *("job_submitted", "job_started", "job_failed"),
    ]
    assert places(told) == [(job["jobId"], n) for job in (first, second) for n in range(EVENTS_OF_A_RUN)]
    assert told[2].data is not None and told[2].data["result"] == first["result"]
    assert told[5].data is not None and told[5].data["error"] == second["error"]
    await nobody_follows(service)


async def test_nothing_is_missed_and_nothing_twice_however_commits_overlap(start_service: StartService) -> None:
    nodes = [await start_service(), await start_service()]
    before = len(await in_order(nodes[0]))
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(following_all(node)) for node in nodes]
        for number in range(4):
            async with held_back(nodes[0]), held_back(nodes[1]):
                runs = [node.run("echo", {"n": n}) for node in nodes for n in range(10)]
                async with held_back(nodes[number % 2]):
                    await asyncio.gather(*runs)
        expected = (await in_order(nodes[0]))[before:]
        assert len(expected) == 4 * (20 * EVENTS_OF_A_RUN + 3)
        last = await nodes[1].run("echo")  # a repeated event would arrive before this
        expected += [(last["jobId"], n) for n in range(EVENTS_OF_A_RUN)]
        for frames in streams:
            assert places(await take(frames, len(expected))) == expected


async def test_what_an_older_transaction_may_still_precede_is_not_told_before_it(service: Service) -> None:
    async with following_all(service) as frames:
        async with held_back(service) as held:
            later = await service.run("echo")
            told = asyncio.create_task(take(frames, 1 + EVENTS_OF_A_RUN))
            await _looked_again(service)
            assert not told.done()
        assert places(await told) == [(str(held), 0), *((later["jobId"], n) for n in range(EVENTS_OF_A_RUN))]


async def _looked_again(service: Service) -> None:
    """Two whole looks for news, both of which began after this call."""
    seen = {service.node.tails.of(1)._read_at}

    async def look() -> bool:
        seen.add(service.node.tails.of(1)._read_at)
        return len(seen) > 3

    await eventually(look)


@pytest.mark.parametrize("kept", [False, True], ids=["from the ledger", "from what is kept"])
async def test_from_every_frame_a_stream_resumes_with_exactly_the_rest(service: Service, kept: bool) -> None:
    with service.node.tails.of(1).watch() if kept else nullcontext():
        await (the_tail_is_read(service) if kept else nobody_follows(service))
        async with following_all(service) as frames:
            begin = await anext(frames)
            for n in range(3):
                async with held_back(service):
                    await asyncio.gather(*(service.run("echo", {"n": n}) for _ in range(4)))
            whole = await take(frames, 3 * (1 + 4 * EVENTS_OF_A_RUN))
        assert len({frame.id for frame in whole}) == len(whole)
        for number, frame in enumerate([begin, *whole[:-1]]):
            assert frame.id is not None
            rest = whole[number:]
            async with following_all(service, last_event_id=frame.id) as frames:
                assert (await anext(frames)).id == frame.id
                assert await take(frames, len(rest)) == rest
        async with following_all(service, lastEventId=begin.id) as frames:
            assert await take(frames, len(whole)) == whole


async def test_a_stream_goes_on_on_another_node_and_across_a_restart(
    start_service: StartService, database_url: str
) -> None:
    async with running_service(database_url) as first, following_all(first) as frames:
        job = await first.run("echo")
        before = await take(frames, EVENTS_OF_A_RUN)
        going = asyncio.create_task(first.node.drain())
        assert [frame async for frame in frames if frame.data] == []
        await going
    between = await start_service()
    missed = await between.run("echo")
    second = await start_service()
    async with following_all(second, last_event_id=before[-1].id) as frames:
        after = await take(frames, EVENTS_OF_A_RUN)
    assert places(before) == [(job["jobId"], n) for n in range(EVENTS_OF_A_RUN)]
    assert places(after) == [(missed["jobId"], n) for n in range(EVENTS_OF_A_RUN)]


@pytest.mark.parametrize("pooled", [False, True], ids=["hints", "no hints"])
async def test_jobs_of_other_nodes_are_told_of(start_service: StartService, pooled: bool) -> None:
    shown = await start_service(roles=("api",), transaction_pooling=pooled)
    other = await start_service(transaction_pooling=pooled)
    async with following_all(shown) as frames:
        for _ in range(3):
            job = await other.run("echo")
            assert places(await take(frames, EVENTS_OF_A_RUN)) == [(job["jobId"], n) for n in range(EVENTS_OF_A_RUN)]


async def test_news_reach_a_stream_by_hints_and_without_them(start_service: StartService) -> None:
    shown, other = await start_service(roles=("api",)), await start_service()
    heard = asyncio.Event()
    shown.node.wakeups.local.ledger_grew = heard.set
    async with following_all(shown) as frames:

        async def told_there() -> bool:
            return bool(other.node.wakeups.follow_filter.all_followed)

        await eventually(told_there)
        job = await other.submit("echo")
        async with asyncio.timeout(60):
            await heard.wait()
        assert places(await take(frames, 1)) == [(job["jobId"], 0)]
    await other.ended(job["jobId"])


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "abcd"),
    ({"type": "echo"}, "abc"),
    ({"type": ["echo", "fail"]}, "abcd"),
    ({"queue": "reports"}, "b"),
    ({"queue": ["reports", "default"], "type": "echo"}, "abc"),
    ({"label": "customer:c-1"}, "bc"),
    ({"label": ["customer:c-1", "customer:c-2"]}, "bcd"),
    ({"label": ["customer:c-1", "region:eu:west"]}, "c"),
    ({"type": "nothing"}, ""),
]


@pytest.mark.parametrize(("filters", "names"), FILTERS, ids=[str(number) for number in range(len(FILTERS))])
async def test_a_filter_lets_pass_what_it_says_live_and_resumed(
    service: Service, filters: dict[str, Any], names: str
) -> None:
    async with following_all(service, **filters) as frames, following_all(service) as everything_told:
        begin = await anext(frames)
        jobs = {
            "a": await service.run("echo"),
            "b": await service.run("echo", queue="reports", labels={"customer": "c-1"}),
            "c": await service.run("echo", labels={"customer": "c-1", "region": "eu:west"}),
            "d": await service.run("fail", labels={"customer": "c-2"}),
        }
        wanted = [(job["jobId"], n) for name, job in jobs.items() if name in names for n in range(EVENTS_OF_A_RUN)]
        await take(everything_told, 4 * EVENTS_OF_A_RUN)
        assert places(await take(frames, len(wanted))) == wanted
    assert begin.id is not None
    async with following_all(service, last_event_id=begin.id, **filters) as frames:
        assert places(await take(frames, len(wanted))) == wanted


async def test_a_stream_of_one_batch_tells_of_its_jobs_only(service: Service) -> None:
    async with following_all(service) as frames:
        begin = await anext(frames)
        await service.run("echo")
        answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}] * 3})
        batch = answer.json()
        for job_id in batch["jobIds"]:
            await service.ended(job_id)
    async with following_all(service, last_event_id=begin.id, batchId=batch["batchId"]) as frames:
        told = places(await take(frames, 3 * EVENTS_OF_A_RUN))
    assert sorted(told) == sorted((job_id, n) for job_id in batch["jobIds"] for n in range(EVENTS_OF_A_RUN))


async def test_a_bad_filter_or_id_is_refused(service: Service) -> None:
    async with following_all(service) as frames:
        good = (await anext(frames)).id
    assert good is not None
    position = read_position(good)
    assert position is not None
    future = str(position._replace(tx=position.tx + 1_000_000))
    listed = (await service.client.get("/api/v1/jobs", params={"limit": 1})).json()["nextCursor"] or "x"
    for last in (future, good[:-1], good + "A", good[::-1], "12", "-", "é", listed):
        answer = await service.client.get(PATH, headers={b"Last-Event-ID": last.encode("latin-1")})
        assert answer.status_code == 422, last
        assert answer.json()["error"]["details"]["errors"][0]["path"] == "Last-Event-ID"
    for wrong in ({"status": "failed"}, {"label": "x"}, {"batchId": "7"}, {"lastEventID": good}):
        assert (await service.client.get(PATH, params=wrong)).status_code == 422, wrong


async def test_an_id_from_before_all_that_is_kept_begins_with_the_oldest(service: Service) -> None:
    job = await service.run("echo")
    async with following_all(service, last_event_id=str(StreamPosition(3, SMALLEST, 0))) as frames:
        assert places(await take(frames, EVENTS_OF_A_RUN)) == [(job["jobId"], n) for n in range(EVENTS_OF_A_RUN)]


async def test_a_quiet_stream_says_that_it_is_there_and_from_where_to_resume(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tenant_feed.KEEP_ALIVE_SECONDS + tenant_feed.LOOK_SECONDS < 15
    monkeypatch.setattr(tenant_feed, "KEEP_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(tenant_feed, "LOOK_SECONDS", 0.05)
    async with following_all(service, type="nothing") as frames:
        begin = await anext(frames)
        job = await service.run("echo")
        async with asyncio.timeout(60):
            while (quiet := await anext(frames)).id == begin.id:
                pass
    assert (quiet.event, quiet.data) == ("position", None)
    seen, kept = read_position(quiet.id or ""), read_position(begin.id or "")
    assert seen is not None and kept is not None and seen > kept
    async with following_all(service, last_event_id=begin.id) as frames:
        assert (await take(frames, 1))[0].place == (job["jobId"], 0)


async def test_a_late_reader_goes_on_from_the_ledger(start_service: StartService) -> None:
    service = await start_service(stream_buffer=1)
    async with following_all(service) as frames:
        jobs = await asyncio.gather(*(service.run("echo", {"n": n}) for n in range(40)))
        told = places(await take(frames, 40 * EVENTS_OF_A_RUN))
    assert told == await in_order(service)
    assert {job_id for job_id, _ in told} == {job["jobId"] for job in jobs}


async def test_a_reader_that_takes_nothing_is_cut_off_and_resumes(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(stream_buffer=10)
    monkeypatch.setattr(tenant_feed, "PATIENCE_SECONDS", 0.001)
    job_id = (await service.submit("echo", delaySeconds=3600))["jobId"]
    idle = await _idle_follower(service)
    try:
        await the_tail_is_read(service)
        with service.node.tails.of(1).watch():  # another one, who keeps the tail going
            await service.sql(LONG_HISTORY, UUID(job_id))
            assert (await service.run("echo"))["status"] == "completed"
            await the_tail_is_past(service, job_id)
            assert len(service.node.tails.of(1)._entries) == 10
        reader, writer = await asyncio.open_connection(sock=idle)
        frames = [frame async for frame in frames_of(_lines(reader)) if frame.data is not None]
        writer.close()
    finally:
        idle.close()
    told, last = frames[:-1], frames[-1]
    assert (last.event, last.id) == ("overflow", None)
    assert 0 < len(told) < 4000
    monkeypatch.setattr(tenant_feed, "PATIENCE_SECONDS", 60)
    async with following_all(service, last_event_id=told[-1].id) as stream:
        rest = await take(stream, 4000 - len(told) + EVENTS_OF_A_RUN)
    assert [frame.place[1] for frame in [*told, *rest[:-EVENTS_OF_A_RUN]]] == list(range(1, 4001))


async def _idle_follower(service: Service) -> socket.socket:
    """Requests the stream and does not read."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    idle = socket.socket()
    idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    idle.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(idle, (host, int(port)))
    await loop.sock_sendall(idle, f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return idle


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yields the lines in the chunks of a response."""
    await reader.readuntil(b"\r\n\r\n")
    rest = b""
    async with asyncio.timeout(60):
        while size := int(await reader.readline(), 16):
            rest += (await reader.readexactly(size + 2))[:-2]
            *lines, rest = rest.split(b"\n")
            for line in lines:
                yield line.decode()


async def test_there_is_room_for_so_many_streams_and_no_more(start_service: StartService) -> None:
    service = await start_service(stream_limit=1)
    async with following_all(service) as frames:
        await anext(frames)
        for path in (PATH, f"/api/v1/jobs/{(await service.run('echo'))['jobId']}/events/stream"):
            answer = await service.client.get(path)
            assert (answer.status_code, answer.content) == (200, NO_ROOM)
    await nobody_follows(service)
    async with following_all(service) as frames:
        assert (await anext(frames)).id


async def test_open_streams_hold_no_connection_to_the_database(start_service: StartService) -> None:
    service = await start_service()
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(following_all(service)) for _ in range(50)]
        job = await service.run("echo")
        for frames in streams:
            assert places(await take(frames, EVENTS_OF_A_RUN)) == [(job["jobId"], n) for n in range(EVENTS_OF_A_RUN)]
    await nobody_follows(service)


async def test_all_followers_are_served_by_one_reading(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = [0]
    really = LedgerReader.read

    async def counted(self: LedgerReader, after: StreamPosition) -> Any:
        if self is not service.node.tails.of(1)._reader:
            reads[0] += 1
        return await really(self, after)

    monkeypatch.setattr(LedgerReader, "read", counted)
    with service.node.tails.of(1).watch():
        await the_tail_is_read(service)  # before the streams begin, which have nothing older to read then
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(following_all(service)) for _ in range(20)]
            for n in range(5):
                await service.run("echo", {"n": n})
            for frames in streams:
                await take(frames, 5 * EVENTS_OF_A_RUN)
            assert reads[0] == 0


@pytest.mark.parametrize(("rows", "stretch"), [(1, 1), (2, 1000), (3, 2), (500, 1), (7, 1 << 40)])
async def test_pages_of_any_size_come_to_the_same(
    service: Service, monkeypatch: pytest.MonkeyPatch, rows: int, stretch: int
) -> None:
    await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo", "delaySeconds": 3600}] * 20})
    async with held_back(service):
        await asyncio.gather(*(service.run("echo", {"n": n}) for n in range(8)))
    monkeypatch.setattr(ledger_reader, "PAGE_ROWS", rows)
    monkeypatch.setattr(ledger_reader, "FIRST_STRETCH", stretch)
    assert await _read_through(service) == await in_order(service)


async def test_a_page_of_large_results_is_cut_where_it_is_large_enough(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_reader, "PAGE_BYTES", 25_000)
    for n in range(10):
        await service.run("echo", {"text": f"{n}" * 10_000})
    sizes: list[int] = []
    assert await _read_through(service, sizes) == await in_order(service)
    assert max(sizes) <= 25_000
    assert len(sizes) >= 5


async def _read_through(service: Service, sizes: list[int] | None = None) -> list[tuple[str, int]]:
    """Page by page from the first transaction that recorded a job to now."""
    [[first]] = await service.sql("select min(tx) from jobs")
    reader, after = LedgerReader(service.node.database, tenant_id=1), StreamPosition(first - 1, SMALLEST, 0)
    seen: list[tuple[str, int]] = []
    while True:
        page = await reader.read(after)
        assert page.reached >= after
        assert page.to_now or page.reached > after
        seen += [(str(row.event.job_id), row.event.sequence) for row in page.rows]
        if sizes is not None:
            sizes.append(sum(len(row.event.data or "") for row in page.rows))
        after = page.reached
        if page.to_now:
            return seen


async def test_the_tail_keeps_no_more_than_it_may(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_tail, "MOST_BYTES", 25_000)
    async with following_all(service) as frames:
        for n in range(10):
            await service.run("echo", {"text": f"{n}" * 10_000})
        told = await take(frames, 10 * EVENTS_OF_A_RUN)
        assert sum(entry.size for entry in service.node.tails.of(1)._entries) <= 25_000
        assert service.node.tails.of(1)._bytes == sum(entry.size for entry in service.node.tails.of(1)._entries)
    assert places(told) == await in_order(service)


async def test_a_stream_outlives_lost_hints(service: Service) -> None:
    service.node.wakeups.local.ledger_grew = lambda: None
    async with following_all(service) as frames:
        assert (await anext(frames)).data is None
        gate("unheard").set()
        job = await service.run("wait-for-gate", {"name": "unheard"})
        assert places(await take(frames, EVENTS_OF_A_RUN)) == [(job["jobId"], n) for n in range(EVENTS_OF_A_RUN)]


async def test_a_reader_that_leaves_in_the_middle_of_a_page_spoils_no_connection(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.run("echo")
    monkeypatch.setattr(store_tail, "PLANS", "set local enable_seqscan = off; select pg_sleep(0.2)")
    following = service.node.tails.of(1)
    for _ in range(5):
        with anyio.move_on_after(0.1) as left:  # as the framework does with who goes: again and again, at every await
            await following.from_ledger(following.reader(), StreamPosition(3, SMALLEST, 0))
        assert left.cancelled_caught
        for answer in await asyncio.gather(*(service.client.get("/api/v1/jobs") for _ in range(4))):
            assert answer.status_code == 200, answer.text
