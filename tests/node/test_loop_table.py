"""Each role runs its loops, and no other role's."""

from collections.abc import Callable
from typing import Any

import pytest

from duly.node import loop_table
from duly.node.loop_table import UPKEEP
from tests.support.service import Service, eventually

ALL = {"heartbeat", "gauges", "notify", "keys"}


@pytest.mark.parametrize(
    ("role", "has", "lacks"),
    [
        ("api", {"submit", "submit-batch-1", "read-jobs", "submission-limits", "tail"}, {"claim", "sweep", "dispatch"}),
        ("worker", {"claim", "watch", "orphans", "finish", "submit", "breakers"}, {"tail", "sweep", "dispatch"}),
        ("dispatcher", {"dispatch", "settle", "replay"}, {"claim", "sweep", "submit"}),
        ("sweeper", {"sweep", "release", "expire", "follow-ups", "schedules", "housekeeping"}, {"claim", "submit"}),
    ],
)
async def test_a_node_runs_the_loops_of_its_role(
    start_service: Callable[..., Any], role: str, has: set[str], lacks: set[str]
) -> None:
    service = await start_service(roles=(role,))
    names = {loop.name for loop in service.node.loops}
    assert names >= has | ALL
    assert not names & lacks


async def test_the_name_of_a_loop_is_its_own(start_service: Callable[..., Any]) -> None:
    service = await start_service()
    names = [loop.name for loop in service.node.loops]
    assert len(names) == len(set(names))


async def test_upkeep_does_not_compete_with_the_first_requests(
    start_service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_table, "UPKEEP_AFTER_SECONDS", 3600.0)
    service = await start_service()
    await service.run("echo")
    await eventually(lambda: _has_begun(service, {"claim", "dispatch", "sweep"}))
    rounds = {loop.name: loop.rounds for loop in service.node.loops}
    assert {name: rounds[name] for name in UPKEEP} == dict.fromkeys(UPKEEP, 0)
    metrics = (await service.client.get("/metrics")).text  # wakes the gauges
    assert 'duly_nodes{role="sweeper"} 1.0' in metrics


async def test_upkeep_begins_by_itself(start_service: Callable[..., Any]) -> None:
    service = await start_service()
    await eventually(lambda: _has_begun(service, UPKEEP))


async def _has_begun(service: Service, names: set[str]) -> bool:
    return all(loop.rounds > 0 for loop in service.node.loops if loop.name in names)
