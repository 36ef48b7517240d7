"""Kept connections: which ones, for how long, and how many."""

import asyncio

import pytest

from duly.outbound import OutboundClient, connection_pool
from duly.outbound.url import Origin
from tests.support.raw_receiver import EMPTY, HEADERS, LOOPBACK, FakeLookup, answers, failure, is_silent, receiver


async def test_an_idle_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_pool, "_KEEP_ALIVE_SECONDS", 0.05)
    async with receiver(answers(EMPTY)) as here, OutboundClient(egress=LOOPBACK) as client:
        url = f"http://127.0.0.1:{here.port}/"
        await client.post(url, content=b"{}", headers=HEADERS)
        await asyncio.wait_for(here.closed.wait(), 60)
        await client.post(url, content=b"{}", headers=HEADERS)
        assert here.connections == 2


async def test_names_that_share_an_address_share_no_connection() -> None:
    async with receiver(answers(EMPTY)) as here:
        lookup = FakeLookup(["127.0.0.1"])
        async with OutboundClient(egress=LOOPBACK, lookup=lookup) as client:
            for name in ("a.example", "b.example", "a.example"):
                await client.post(f"http://{name}:{here.port}/", content=b"{}", headers=HEADERS)
        assert (here.connections, lookup.asked) == (2, ["a.example", "b.example"])


async def test_where_all_connections_idle_one_makes_room_for_another_receiver() -> None:
    async with receiver(answers(EMPTY)) as one, receiver(answers(EMPTY)) as other:
        async with OutboundClient(egress=LOOPBACK, connections=1, total_seconds=60) as client:
            for here in (one, other, one):
                await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
        assert (one.connections, one.most_open, other.connections) == (2, 1, 1)


async def test_who_waits_for_a_connection_in_vain_is_told_in_time() -> None:
    async with (
        receiver(is_silent) as here,
        OutboundClient(egress=LOOPBACK, connections_per_host=1, total_seconds=0.2) as client,
    ):
        url = f"http://127.0.0.1:{here.port}/"
        errors = await asyncio.gather(failure(client, url), failure(client, url))
        assert [error.code for error in errors] == ["TIMED_OUT"] * 2
        # The request that timed out released its place.
        assert (await failure(client, url)).code == "TIMED_OUT"
        assert here.most_open == 1


async def test_those_that_wait_for_one_receiver_are_not_woken_by_what_others_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Origin] = []
    has_room = connection_pool.ConnectionPool._has_room

    def counted(self: connection_pool.ConnectionPool, origin: Origin) -> bool:
        asked.append(origin)
        return has_room(self, origin)

    monkeypatch.setattr(connection_pool.ConnectionPool, "_has_room", counted)
    arrived = asyncio.Semaphore(0)

    async def hangs_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await is_silent(reader, writer)

    async with receiver(hangs_on) as hangs, receiver(answers(EMPTY)) as well, asyncio.TaskGroup() as tasks:
        async with OutboundClient(egress=LOOPBACK, connections_per_host=2, total_seconds=60) as client:
            url = f"http://127.0.0.1:{hangs.port}/"
            stuck = [tasks.create_task(failure(client, url)) for _ in range(50)]
            for _ in range(2):
                await asyncio.wait_for(arrived.acquire(), 60)
            for _ in range(20):
                await client.post(f"http://127.0.0.1:{well.port}/", content=b"{}", headers=HEADERS)
            assert len(asked) < 100  # each once, and not each of fifty with every post
        errors = await asyncio.gather(*stuck)
    assert {error.code for error in errors} == {"INVALID_RESPONSE"}


async def test_each_that_waits_has_its_turn_though_others_give_up() -> None:
    gate, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def waits(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await gate.wait()
        writer.write(EMPTY)

    async with (
        receiver(waits) as here,
        OutboundClient(egress=LOOPBACK, connections_per_host=2, total_seconds=60) as client,
    ):
        url = f"http://127.0.0.1:{here.port}/"
        posts = [asyncio.create_task(client.post(url, content=b"{}", headers=HEADERS)) for _ in range(12)]
        for _ in range(2):
            await asyncio.wait_for(arrived.acquire(), 60)
        for given_up in posts[3:7]:
            given_up.cancel()
        gate.set()
        answered = await asyncio.gather(*posts, return_exceptions=True)
    assert [getattr(one, "status", None) for one in answered] == [204] * 3 + [None] * 4 + [204] * 5
    assert here.most_open == 2


async def test_many_posts_to_a_new_name_share_one_look_up() -> None:
    async with receiver(answers(EMPTY)) as here:
        lookup = FakeLookup(["127.0.0.1"])
        async with OutboundClient(egress=LOOPBACK, lookup=lookup) as client:
            url = f"http://hooks.example:{here.port}/"
            await asyncio.gather(*(client.post(url, content=b"{}", headers=HEADERS) for _ in range(10)))
        assert lookup.asked == ["hooks.example"]


async def test_a_kept_connection_has_a_deadline_too() -> None:
    turns = iter([EMPTY])

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(turns, b""))

    async with (
        receiver(answers_once) as here,
        OutboundClient(egress=LOOPBACK, total_seconds=0.2) as client,
    ):
        url = f"http://127.0.0.1:{here.port}/"
        client._total_seconds = 60  # of a new connection
        assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
        error = await failure(client, url)
        assert (error.code, here.connections) == ("TIMED_OUT", 1)
        assert 0.15 < error.duration_seconds < 10
        await asyncio.wait_for(here.closed.wait(), 60)
