"""The sale of examples/ticket-sale: adjacent seats, none sold twice, counted from outside."""

import asyncio
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticket_sale.buyers import GROUPS, Outcome, Sale, burst
from ticket_sale.connection import Connection
from ticket_sale.planes import Row, rows_on_sale
from ticket_sale.seating import OpenRow, choose, smallest_gap, take
from ticket_sale.shop import Wish, open_sale, sell
from ticket_sale.verdict import faults

from tests.support.examples import run_example


async def test_the_example_runs_by_its_one_command(database_url: str, tmp_path: Path) -> None:
    options = ("--seats", "120", "--buyers", "600", "--seconds", "0.2", "--connections", "200")
    printed = await run_example("ticket-sale", *options, database_url=database_url, output=tmp_path / "output")
    assert "120 seats to 1 destinations are on sale." in printed
    assert "groups got 120 seats" in printed and "120 tickets at the end." in printed
    assert "known by SSE   p50 " in printed and "FAULT" not in printed


def test_the_seats_on_sale_are_as_many_as_are_asked_for() -> None:
    rows = rows_on_sale(10_000)
    assert sum(row.seats for row in rows) == 10_000
    assert len({(row.flight, row.number) for row in rows}) == len(rows)
    with pytest.raises(ValueError, match=r"seats, not 1,000,000\.$"):
        rows_on_sale(1_000_000)


def test_a_group_gets_the_smallest_gap_that_it_fits_in() -> None:
    assert smallest_gap(6, 0b000000, 6) == (6, 0)
    assert smallest_gap(6, 0b001001, 2) == (2, 1)
    assert smallest_gap(6, 0b010000, 1) == (1, 5)
    assert smallest_gap(6, 0b100100, 3) is None


@given(groups=st.lists(st.integers(1, 6), max_size=40), widths=st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_seats_that_are_chosen_are_free_and_a_group_is_refused_only_if_no_gap_is_left(
    groups: list[int], widths: list[int]
) -> None:
    rows = [OpenRow(number, width, 0) for number, width in enumerate(widths)]
    for group in groups:
        chosen = choose(rows, group)
        if chosen is None:
            assert all("0" * group not in f"{row.taken:b}".zfill(row.seats) for row in rows)
            continue
        row, first = chosen
        before = row.taken
        take(row, first, group)
        assert (row.taken ^ before).bit_count() == group and row.taken & before == before
        assert row.taken < 1 << row.seats


@pytest.fixture
async def sale(database_url: str) -> str:
    """Returns the URL of a database with two planes on sale: 24 seats to Boston, 4 to Oslo."""
    rows = [Row("BOS", "JFK B6 1", number, 6) for number in range(1, 5)] + [Row("OSL", "EWR SK 2", 1, 4)]
    await open_sale(database_url, rows)
    return database_url


async def test_a_purchase_that_is_repeated_keeps_its_seats(sale: str) -> None:
    wishes = [Wish(uuid4(), "BOS", 4), Wish(uuid4(), "OSL", 3), Wish(uuid4(), "OSL", 2)]
    connection = await asyncpg.connect(sale)
    first = await sell(connection, wishes)
    assert [len(seats) for seats in first] == [4, 3, 0]
    assert first[1] == ["EWR SK 2 1A", "EWR SK 2 1B", "EWR SK 2 1C"]
    assert await sell(connection, wishes) == first
    await connection.close()


async def test_sales_at_the_same_time_sell_no_seat_twice(sale: str) -> None:
    connections = [await asyncpg.connect(sale) for _ in range(4)]
    calls = [[Wish(uuid4(), destination, 2) for destination in ("OSL", "BOS")] for _ in range(40)]

    async def shop(number: int) -> list[list[str]]:
        return [seats for wishes in calls[number::4] for seats in await sell(connections[number], wishes)]

    sold = [seat for found in await asyncio.gather(*map(shop, range(4))) for seats in found for seat in seats]
    assert len(sold) == len(set(sold)) == 28
    for connection in connections:
        await connection.close()


async def test_a_wrong_sale_is_noticed(sale: str) -> None:
    [buyer] = burst([Row("BOS", "JFK B6 1", 1, 6)], 1, seconds=1, seed=1)
    buyer = buyer._replace(group=2)

    def sold(*seats: str) -> Outcome:
        return Outcome(str(UUID(int=1)), buyer, list(seats), 0.1, 0.2, 0)

    async def found(outcome: Outcome, *, seats: int) -> list[str]:
        return await faults(Sale([outcome]), {"seats": seats, "tickets": seats, "faults": []}, sale)

    assert await found(sold("JFK B6 1 1A", "JFK B6 1 1B"), seats=2) == []
    [apart] = await found(sold("JFK B6 1 1A", "JFK B6 1 1C"), seats=2)
    assert "a group of 2 got" in apart
    [rows_apart] = await found(sold("JFK B6 1 1A", "JFK B6 1 2B"), seats=2)
    assert "a group of 2 got" in rows_apart
    [refused] = await found(sold(), seats=0)
    assert refused.endswith("2 to BOS were refused, but 6 adjacent seats are left")
    [differs] = await found(sold("JFK B6 1 1A", "JFK B6 1 1B"), seats=3)
    assert differs == "buyers saw 2 seats, the stream 3, the tables 3"


async def test_connections_read_responses_refused_streams_and_streams_and_open_again_when_closed() -> None:
    refused = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"
    frame = b'data: {"type":"job_completed"}\n\n'
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(frame), frame)
    answers = iter([refused, b"", b'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"a": 1}', refused, stream])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                if not (answer := next(answers)):
                    break
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    connection = Connection(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert await connection.request("GET", "/") == (503, {})
    assert await connection.request("GET", "/") == (200, {"a": 1})  # after a response that was cut off
    assert [frame async for frame in connection.follow("/")] == []
    assert [frame async for frame in connection.follow("/")] == [{"type": "job_completed"}]
    server.close()
    await server.wait_closed()


def test_a_burst_is_the_same_for_the_same_seed() -> None:
    rows = rows_on_sale(500)
    first, second = (list(burst(rows, 300, seconds=2, seed=7)) for _ in range(2))
    assert first == second != list(burst(rows, 300, seconds=2, seed=8))
    assert {buyer.group for buyer in first} <= set(GROUPS) and any(buyer.clicks_twice for buyer in first)
    assert first == sorted(first, key=lambda buyer: buyer.at)
