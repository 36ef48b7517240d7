"""Adapters in a peer's environment: what they submit, and what their handlers print."""

import asyncio
import itertools
import json
from collections.abc import Sequence

import pytest

from benchmarks.peers.adapters import harness
from benchmarks.peers.adapters.harness import Plan


class Recorder:
    """A library in which each call takes a turn of the loop."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.in_flight = 0
        self.most_under_way = 0

    async def one(self, index: int) -> None:
        self.in_flight += 1
        self.most_under_way = max(self.most_under_way, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        self.calls.append([index])

    async def many(self, indexes: Sequence[int]) -> None:
        await asyncio.sleep(0)
        self.calls.append(list(indexes))


async def test_several_callers_submit_every_job_once(capfd: pytest.CaptureFixture[str]) -> None:
    library = Recorder()
    await harness.submit(library, Plan("", chunk=10, callers=3, jobs=45))
    outcome = json.loads(capfd.readouterr().out)

    assert sorted(itertools.chain.from_iterable(library.calls)) == list(range(45))
    assert outcome["jobs"] == 45
    assert outcome["rate"] > 0


async def test_without_a_number_jobs_are_submitted_until_the_time_is_over(capfd: pytest.CaptureFixture[str]) -> None:
    library = Recorder()
    await harness.submit(library, Plan("", chunk=10, callers=2, seconds=0.02, warm_up=0.01))
    outcome = json.loads(capfd.readouterr().out)

    submitted = sum(len(call) for call in library.calls)
    assert 0 < outcome["jobs"] < submitted, "the warm-up is not counted"
    assert outcome["p50_ms"] <= outcome["p99_ms"]


async def test_single_calls_in_place_of_a_bulk_call_are_bounded() -> None:
    library = Recorder()
    await harness.at_most(4, library, range(20))

    assert sorted(library.calls) == [[index] for index in range(20)]
    assert library.most_under_way == 4


def marks_of(starts: Sequence[int], capfd: pytest.CaptureFixture[str]) -> list[int]:
    for index in starts:
        harness.started(index)
    return [int(line.split()[1]) for line in capfd.readouterr().out.splitlines()]


def test_of_many_jobs_the_first_start_and_the_last_are_told_and_any_too_many(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "_wanted", 4)
    monkeypatch.setattr(harness, "_starts", itertools.count(1))

    assert marks_of([9, 8, 7, 6, 6], capfd) == [1, 4, 5]


def test_of_jobs_that_come_alone_each_start_is_told_with_its_index(capfd: pytest.CaptureFixture[str]) -> None:
    assert marks_of([9, 8], capfd) == [9, 8]


def test_the_plan_goes_over_a_command_line() -> None:
    plan = Plan("postgresql:///jobs", settings={"batch_size": 5}, jobs=3)

    assert Plan.read(json.dumps({"url": plan.url, "settings": {"batch_size": 5}, "jobs": 3})) == plan
