"""Each role runs its loops, and no other role's."""

from collections.abc import Callable
from typing import Any

import pytest

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
