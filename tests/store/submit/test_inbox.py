"""Statements of the inbox read it by its indexes, and give each lane its share."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duly.store.postgres.database import Connection, Database
from duly.store.submit.inbox import FIND_ANY, READ, READ_OLDEST_AGE, TAKE, InboxLane, take_inbox
from tests.support.query_plans import explained, nodes_of

FILL = """
select duly.submit('echo', '{}', json_build_object('queue', 'q' || least(n % 1000, 9))::text)
from generate_series(1, $1::int) n
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    database = Database(database_url)
    async with database.pinned() as held:
        yield held
        await held.execute("delete from inbox")
    await database.close()


async def _take(connection: Connection, limit: int, **arguments: Any) -> Counter[str]:
    chosen = {"closed": (), "exclude": (), **arguments}
    return Counter(row.queue for row in await take_inbox(connection, limit=limit, **chosen))


@pytest.mark.fresh_database
@pytest.mark.parametrize("rows", [0, 20_000])
async def test_no_statement_reads_the_inbox_in_full(connection: Connection, rows: int) -> None:
    await connection.execute(FILL, rows)
    some = [row[0] for row in await connection.fetch("select job_id from inbox limit 5")]
    for statement, *arguments in (
        (TAKE, 200, [1], ["q9"], []),
        (FIND_ANY,),
        (READ, [1] * len(some), some),
        (READ_OLDEST_AGE,),
    ):
        plan = await explained(connection, statement, *arguments, analyze=True)
        read = [node for node in nodes_of(plan) if node.get("Relation Name") == "inbox"]
        assert {node["Node Type"] for node in read} <= {"Index Scan", "Index Only Scan"}, statement
        assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) <= 900, statement


async def test_a_long_lane_leaves_the_others_their_share(connection: Connection) -> None:
    await connection.execute(FILL, 3_000)
    taken = await _take(connection, 100)
    assert set(taken) == {f"q{n}" for n in range(10)}
    assert {queue: taken[queue] for queue in ("q1", "q9")} == {"q1": 3, "q9": 10}


async def test_a_closed_lane_and_excluded_rows_are_passed_over(connection: Connection) -> None:
    await connection.execute(FILL, 20)
    taken = await take_inbox(connection, limit=100, closed=[InboxLane(1, "q9")], exclude=[])
    assert Counter(row.queue for row in taken) == {f"q{n}": 1 for n in range(1, 9)}
    rest = await take_inbox(connection, limit=100, closed=[], exclude=[row.job_id for row in taken])
    assert {row.queue for row in rest} == {"q9"}


async def test_a_round_has_at_most_eight_mebibytes_beyond_its_first_row(connection: Connection) -> None:
    await connection.execute("select duly.submit('echo', to_json(repeat('x', 3 << 20))) from generate_series(1, 5)")
    assert len(await take_inbox(connection, limit=100, closed=[], exclude=[])) == 3
