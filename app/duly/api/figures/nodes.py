"""`GET /api/v1/nodes`: the processes of the service, with their slots."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from duly.api.contract.openapi_parts import IdText, TimeText
from duly.api.contract.response_models import Gathered, error_responses
from duly.api.contract.responses import accepts_query, merged_response
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import node_of
from duly.domain.timestamps import rfc3339
from duly.node import Node
from duly.store.queue.nodes import ListedNode, list_nodes

# Share of the lease after which a node stops its attempts, if no heartbeat was recorded.
LATE_SHARE = 2 / 3
MOST_NODES = 1_000


class NodeBody(BaseModel):
    """Process of the service."""

    nodeId: IdText = Field(description="New at each start.")
    name: str = Field(description="Host name and process id.", examples=["web-1-4711"])
    version: str
    roles: list[str] = Field(examples=[["api", "worker"]])
    state: Literal["ready", "draining", "late"] = Field(
        description="`late`: its heartbeats are missing; once its lease has expired, its jobs run elsewhere."
    )
    slots: int = Field(description="Jobs that it can run at once, of all tenants.")
    busySlots: int = Field(description="Slots in use at its last heartbeat.")
    startedAt: TimeText
    heartbeatAt: TimeText


class NodeList(Gathered):
    items: list[NodeBody]


router = APIRouter(prefix="/api/v1/nodes", tags=["figures"])


@router.get(
    "",
    operation_id="listNodes",
    summary="List the nodes",
    response_model=NodeList,
    responses=error_responses(422, 503),
    dependencies=[accepts_query()],
)
async def list_all_nodes(request: Request) -> Response:
    """Returns the running processes of the installation, the oldest first, up to 1,000. They serve all tenants."""
    late_seconds = node_of(request).settings.lease_seconds * LATE_SHARE

    async def read(node: Node) -> list[ListedNode]:
        async with node.database.connection() as connection:
            return await list_nodes(connection, late_seconds=late_seconds, limit=MOST_NODES)

    found, away = await read_cells(request, read)
    body = {"items": [_body(each) for each in joined_nodes(list(found.values()))[:MOST_NODES]]}
    return merged_response(body, headers={"Cache-Control": "no-store"}, away=away)


def joined_nodes(lists: Sequence[Sequence[ListedNode]]) -> Sequence[ListedNode]:
    """Returns the processes that register in several cells once, the oldest first; a name and a turn identify them."""
    if len(lists) == 1:
        return lists[0]
    processes: dict[tuple[str, int], list[ListedNode]] = {}
    for nodes in lists:
        turns: Counter[str] = Counter()
        for node in nodes:
            processes.setdefault((node.name, turns[node.name]), []).append(node)
            turns[node.name] += 1
    return sorted(map(_joined, processes.values()), key=lambda node: (node.started_at, node.node_id))


def _joined(parts: Sequence[ListedNode]) -> ListedNode:
    first = min(parts, key=lambda node: (node.started_at, node.node_id))
    return first._replace(
        slots=sum(node.slots for node in parts),
        busy_slots=sum(node.busy_slots for node in parts),
        heartbeat_at=min(node.heartbeat_at for node in parts),
        draining=any(node.draining for node in parts),
        late=any(node.late for node in parts),
    )


def _body(node: ListedNode) -> dict[str, object]:
    return {
        "nodeId": str(node.node_id),
        "name": node.name,
        "version": node.version,
        "roles": node.roles,
        "state": "late" if node.late else "draining" if node.draining else "ready",
        "slots": node.slots,
        "busySlots": node.busy_slots,
        "startedAt": rfc3339(node.started_at),
        "heartbeatAt": rfc3339(node.heartbeat_at),
    }
