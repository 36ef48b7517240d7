"""The heartbeat knows whether other nodes are listed, also while they come."""

from collections.abc import Callable
from typing import Any

import pytest

from duly.lifecycle.cluster import heartbeat
from duly.store.queue.nodes import RenewedLease, beat


async def test_a_node_that_says_hello_during_a_heartbeat_is_not_forgotten(
    start_service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(lease_seconds=600)  # no other heartbeat comes between

    async def alone_after(each_beat: Callable[..., Any]) -> bool:
        monkeypatch.setattr(heartbeat, "beat", each_beat)
        await service.node.heartbeat.step()
        return bool(service.node.wakeups.alone)

    async def overtaken_by_a_hello(*arguments: Any, **options: Any) -> RenewedLease | None:
        row = await beat(*arguments, **options)
        service.node.wakeups.receive(["hello"])
        return row

    assert await alone_after(beat)
    assert not await alone_after(overtaken_by_a_hello)
    assert await alone_after(beat)
