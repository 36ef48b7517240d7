"""The benchmark works: a tiny run of each row, whose figures mean nothing."""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from benchmarks.closed_loop import LoadPlan, run
from benchmarks.http_messages import post, split_message
from benchmarks.stats import percentile, spread
from benchmarks.targets import Bound, Verdict, judge
from tests.support.benchmark_run import RUN_SECONDS, finished, small_run

# Every row of a job's life; the naive service and the ceilings in the rows that have code of theirs.
PLANS = {"duly": ("S1", "S2", "S3", "S4", "S6", "S8", "M1", "F1"), "naive,ceiling": ("S1", "S2", "S3", "S4", "S8")}
WITHOUT_NAIVE = {"S8"}

pytestmark = pytest.mark.timeout(RUN_SECONDS + 20)
Report = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Two runs side by side, each on a server of its own: it is not the figures that count here."""
    folders = {kinds: tmp_path_factory.mktemp("results") for kinds in PLANS}
    with ExitStack() as stack:
        runs = {
            kinds: stack.enter_context(small_run(folders[kinds], PLANS[kinds], kinds, page=True)) for kinds in PLANS
        }
        return {kinds: finished(run, folders[kinds]) for kinds, run in runs.items()}


def assert_measured(result: dict[str, Any]) -> None:
    assert result["failure"] is None
    figures = result["rounds"][0]["figures"]
    assert figures.pop("errors", 0) == 0
    assert all(value > 0 for value in figures.values())


@pytest.mark.parametrize("row", PLANS["naive,ceiling"])
def test_the_naive_service_and_the_ceilings_are_measured_without_an_error(row: str, reports: dict[str, Report]) -> None:
    results = reports["naive,ceiling"][1][row]

    assert (results[0]["contestant"]["name"] == "naive") is (row not in WITHOUT_NAIVE)
    for result in results:
        assert_measured(result)


@pytest.mark.parametrize("row", ["S1", "S3", "S4", "S6", "S8", "M1", "F1"])
def test_duly_is_measured_without_an_error(row: str, reports: dict[str, Report]) -> None:
    duly = reports["duly"][1][row][0]

    assert duly["contestant"]["name"] == "Duly"
    assert_measured(duly)


@pytest.mark.parametrize("row", PLANS["duly"])
def test_every_row_stands_in_the_table(row: str, reports: dict[str, Report]) -> None:
    assert f"| {row} | " in reports["duly"][0]


async def test_the_generator_counts_what_is_refused_and_what_is_cut() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = [
            b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
        ]
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(answer)
        await reader.readuntil(b"\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await run(LoadPlan(port, "/", "{}", connections=2, seconds=60, warm_up=0, requests=6))
    server.close()
    await server.wait_closed()

    assert (outcome.accepted, outcome.refused, outcome.broken) == (2, 2, 2)


def test_a_message_is_split_only_once_it_is_whole() -> None:
    request = post("/api/v1/jobs", b'{"a":1}')

    assert all(split_message(request[:length]) is None for length in range(len(request)))
    message = split_message(request + b"POST")
    assert message is not None
    assert (message.body, message.rest) == (b'{"a":1}', b"POST")


def test_a_target_is_unknown_where_what_it_is_relative_to_was_not_measured() -> None:
    bounds = (Bound("rate", 3, "naive"), Bound("p99_ms", 0.5, "naive", at_most=True))
    duly, naive = {"rate": 300.0, "p99_ms": 5.0}, {"rate": 100.0, "p99_ms": 10.0}

    assert judge(bounds, {"Duly": duly, "naive": naive}) is Verdict.REACHED
    assert judge(bounds, {"Duly": duly | {"p99_ms": 5.1}, "naive": naive}) is Verdict.MISSED
    assert judge(bounds, {"Duly": duly}) is Verdict.UNKNOWN
    assert judge(bounds, {"naive": naive}) is Verdict.UNKNOWN


def test_percentiles_and_spread_of_rounds() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(101), 0.99) == 99
    assert percentile([], 0.5) == 0
    assert spread([5, 1, 3]).median == 3
    assert (spread([5, 1, 3]).least, spread([5, 1, 3]).most) == (1, 5)
