"""The long poll of a job while the service stops: it returns an end that was recorded before."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from uuid import UUID

from duly.api.jobs.long_poll import wait_for_change
from duly.domain.events import Status
from duly.lifecycle.cluster.hub import Hub

if TYPE_CHECKING:
    from duly.domain.job import JobView
    from duly.node import Node

JOB = UUID(int=1)


class Reads:
    """Reads of a job that ends, and whose node stops, while the first of them is under way."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._status = Status.RUNNING

    async def look(self, tenant_id: int, job_id: UUID) -> "JobView":
        assert (tenant_id, job_id) == (1, JOB)
        snapshot, self._status = self._status, Status.COMPLETED
        self._hub.close()
        return cast(
            "JobView", SimpleNamespace(status=snapshot, ended=snapshot.ended, sequence=2 if snapshot.ended else 1)
        )


async def test_an_end_during_a_read_is_returned_although_the_node_stops_meanwhile() -> None:
    hub = Hub()
    node = cast("Node", SimpleNamespace(hub=hub, job_reader=Reads(hub)))
    view = await wait_for_change(node, 1, JOB, known_sequence=None, seconds=60)
    assert view.status is Status.COMPLETED
