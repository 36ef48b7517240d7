"""Which connections are kept, for how long, and how many."""

import asyncio

import pytest

from duly.outbound import OutboundClient, pool
from tests.support.raw_receiver import EMPTY, HEADERS, LOOPBACK, FakeLookup, answers, failure, is_silent, receiver


async def test_an_idle_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_KEEP_ALIVE_SECONDS", 0.05)
    async with receiver(answers(EMPTY)) as here, OutboundClient(reach=LOOPBACK) as client:
        url = f"http://127.0.0.1:{here.port}/"
        await client.post(url, content=b"{}", headers=HEADERS)
        await asyncio.wait_for(here.closed.wait(), 2)
        await client.post(url, content=b"{}", headers=HEADERS)
        assert here.connections == 2


async def test_names_that_share_an_address_share_no_connection() -> None:
    async with receiver(answers(EMPTY)) as here:
        lookup = FakeLookup(["127.0.0.1"])
        async with OutboundClient(reach=LOOPBACK, lookup=lookup) as client:
            for name in ("a.example", "b.example", "a.example"):
                await client.post(f"http://{name}:{here.port}/", content=b"{}", headers=HEADERS)
        assert (here.connections, lookup.asked) == (2, ["a.example", "b.example"])


async def test_where_all_connections_idle_one_makes_room_for_another_receiver() -> None:
    async with receiver(answers(EMPTY)) as one, receiver(answers(EMPTY)) as other:
        async with OutboundClient(reach=LOOPBACK, connections=1, total_seconds=3) as client:
            for here in (one, other, one):
                await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
        assert (one.connections, one.most_open, other.connections) == (2, 1, 1)


async def test_who_waits_for_a_connection_in_vain_is_told_in_time() -> None:
    async with (
        receiver(is_silent) as here,
        OutboundClient(reach=LOOPBACK, connections_per_host=1, total_seconds=0.2) as client,
    ):
        url = f"http://127.0.0.1:{here.port}/"
        errors = await asyncio.gather(failure(client, url), failure(client, url))
        assert [error.code for error in errors] == ["TIMED_OUT"] * 2
        # What timed out freed its place.
        assert (await failure(client, url)).code == "TIMED_OUT"
        assert here.most_open == 1


async def test_many_posts_to_a_new_name_share_one_look_up() -> None:
    async with receiver(answers(EMPTY)) as here:
        lookup = FakeLookup(["127.0.0.1"])
        async with OutboundClient(reach=LOOPBACK, lookup=lookup) as client:
            url = f"http://hooks.example:{here.port}/"
            await asyncio.gather(*(client.post(url, content=b"{}", headers=HEADERS) for _ in range(10)))
        assert lookup.asked == ["hooks.example"]


async def test_a_kept_connection_has_a_deadline_too() -> None:
    turns = iter([EMPTY])

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(turns, b""))

    async with (
        receiver(answers_once) as here,
        OutboundClient(reach=LOOPBACK, total_seconds=0.2) as client,
    ):
        url = f"http://127.0.0.1:{here.port}/"
        assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
        error = await failure(client, url)
        assert (error.code, here.connections) == ("TIMED_OUT", 1)
        assert 0.15 < error.duration_seconds < 2
        await asyncio.wait_for(here.closed.wait(), 2)
