"""Copies and reads at the same time: an earlier state never passes for a later one."""

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from duly.cells import copier as copying
from duly.cells import pinned_queues
from duly.cells.copier import ConfigurationCopier
from duly.cells.copies import Copied
from duly.cells.pinned_queues import PinnedQueues
from duly.domain.cells import CellNumber
from duly.store.cells.configuration import API_KEYS
from duly.store.postgres.database import DatabaseOutage

NO_QUEUES = PinnedQueues([], serves=bool)


def node_of(cell: int, **parts: Any) -> Any:
    return SimpleNamespace(cell=CellNumber(cell, 2), database=None, flow_controller=None, **parts)


async def test_a_copy_that_began_before_a_cell_missed_a_change_does_not_make_up_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def copy(*_: Any) -> Copied:
        began.set()
        await may_end.wait()
        return Copied()

    monkeypatch.setattr(copying, "copy_configuration", copy)
    serving = {0, 1}
    copier = ConfigurationCopier([node_of(0), node_of(1)], NO_QUEUES, serves=serving.__contains__)
    earlier = asyncio.create_task(copier.step())
    await began.wait()
    serving.remove(1)
    assert await copier.copy() == [1]
    serving.add(1)
    may_end.set()
    assert await earlier == copying.BEHIND_SECONDS
    assert copier.behind == [1]
    assert await copier.step() == copying.LOOK_SECONDS
    assert copier.behind == []


async def test_a_node_uses_a_copied_change_although_its_first_attempt_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = [Copied(frozenset({API_KEYS.name})), Copied()]
    steps: list[int] = []

    async def copy(*_: Any) -> Copied:
        return copies.pop(0)

    async def step() -> None:
        steps.append(1)
        if len(steps) == 1:
            raise DatabaseOutage("")

    monkeypatch.setattr(copying, "copy_configuration", copy)
    other = node_of(1, key_verifier=SimpleNamespace(step=step), wakeups=SimpleNamespace(keys=lambda: None))
    copier = ConfigurationCopier([node_of(0), other], NO_QUEUES, serves=lambda _cell: True)
    assert await copier.copy() == [1]
    assert await copier.copy() == []
    assert len(steps) == 2


async def test_an_earlier_read_of_the_pinned_queues_does_not_replace_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results: list[asyncio.Future[frozenset[tuple[int, str]]]] = []

    async def read(_connection: Any) -> frozenset[tuple[int, str]]:
        results.append(asyncio.get_running_loop().create_future())
        return await results[-1]

    monkeypatch.setattr(pinned_queues, "read_limited_queues", read)
    node = SimpleNamespace(cell=CellNumber(0, 2), database=SimpleNamespace(connection=nullcontext))
    pinned = PinnedQueues(cast("Any", [node]), serves=lambda _cell: True)
    earlier = asyncio.create_task(pinned.refresh(seconds=60))
    while len(results) < 1:
        await asyncio.sleep(0)
    later = asyncio.create_task(pinned.refresh(seconds=60))
    while len(results) < 2:
        await asyncio.sleep(0)
    results[1].set_result(frozenset({(1, "mail")}))
    await later
    results[0].set_result(frozenset())
    await earlier
    assert (1, "mail") in pinned


async def test_the_pinned_queues_are_read_from_the_first_cell_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(connection: int) -> frozenset[tuple[int, str]]:
        return frozenset({(1, f"of cell {connection}")})

    monkeypatch.setattr(pinned_queues, "read_limited_queues", read)
    nodes = [
        SimpleNamespace(
            cell=CellNumber(cell, 2), database=SimpleNamespace(connection=lambda cell=cell: nullcontext(cell))
        )
        for cell in range(2)
    ]
    serving = {0, 1}
    pinned = PinnedQueues(cast("Any", nodes), serves=serving.__contains__)
    await pinned.refresh()
    assert (1, "of cell 0") in pinned
    serving.remove(0)
    await pinned.refresh()
    assert (1, "of cell 1") in pinned
    serving.clear()
    await pinned.refresh()
    assert (1, "of cell 1") in pinned
