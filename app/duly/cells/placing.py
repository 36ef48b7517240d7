"""Placing: the cell of a submission, by its JSON value and the ids and keys around it. Pure.

All jobs that are tied to one another are in one cell. In order: ids decide (a client-made id, the parent, the jobs
that it depends on), then a queue that is kept in one cell, the concurrency key, the unique key, and the idempotency
key. Without any of them, each cell will do. Members of a wrong type decide nothing: the reader of the chosen cell
refuses them.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple
from uuid import UUID

from duly.domain.cells import cell_of, cell_of_key
from duly.domain.ids import parse_job_id
from duly.errors import Invalid, PathError

KEYS: Final = ("concurrencyKey", "uniqueKey")
# Returns the name of the queue of a submission, by its tenant, type and queue, if all its jobs are kept in one cell.
PinnedQueue = Callable[[int, str, str | None], str | None]


def no_queue(_tenant_id: int, _type: str, _queue: str | None) -> None:
    """Names no queue: none is kept in one cell."""


class Places(NamedTuple):
    """Cells of one installation, as one tenant's submissions see them."""

    tenant_id: int
    cells: int
    pinned: PinnedQueue = no_queue

    def of_key(self, text: str) -> int:
        """Returns the cell of a key, or of a queue that is kept in one cell."""
        return cell_of_key(self.tenant_id, text, self.cells)


class Demand(NamedTuple):
    """Cell that a submission needs, and the member that says so."""

    cell: int
    member: str


def demand_of(value: object, places: Places, *, own: UUID | None = None, own_name: str = "jobId") -> Demand | None:
    """Returns the cell that a submission needs; None if each will do.

    Args:
        value: the submission.
        places: the cells.
        own: the id that the job will have, or that of its parent.
        own_name: the name of that id in messages.

    Raises:
        Invalid: its members need different cells.
    """
    members: dict[str, Any] = value if isinstance(value, dict) else {}
    by_id = _by_id(members, places, Demand(cell_of(own, places.cells), own_name) if own is not None else None)
    by_queue, by_key = _by_queue(members, places), _by_key(members, places)
    if by_id is None:
        return by_queue or by_key
    # In a queue that is kept in one cell, the other jobs of the key are in that cell.
    of_queue = by_queue is not None and by_queue.cell == by_id.cell
    if by_key is not None and by_key.cell != by_id.cell and not of_queue:
        message = (
            f"belongs to cell {by_key.cell} of {places.cells}, and the job by its {by_id.member} to cell {by_id.cell}; "
            f"leave out one of both"
        )
        raise Invalid.at([PathError(by_key.member, message)])
    return by_id


def place(value: object, places: Places, *, key: str | None = None, own: UUID | None = None) -> int | None:
    """Returns the cell of one submission; None if each will do.

    Args:
        value: the submission.
        places: the cells.
        key: the idempotency key.
        own: the id that the client made.

    Raises:
        Invalid: its members need different cells.
    """
    demand = demand_of(value, places, own=own)
    if demand is not None:
        return demand.cell
    return places.of_key(key) if key is not None else None


class BatchPlacing:
    """Placing of a batch, whose jobs are all in one cell: the one that its submissions need.

    Args:
        places: the cells.
        key: the idempotency key of the batch, which decides where no submission does.
    """

    def __init__(self, places: Places, *, key: str | None = None) -> None:
        self._places = places
        self._key = key
        self._first: Demand | None = None

    def add(self, value: object, path: str) -> None:
        """Notes the cell that a submission needs. `path` is its place in the batch, such as `jobs[3]`.

        Raises:
            Invalid: it needs another cell than an earlier one; the path of the error is that of the member.
        """
        demand = demand_of(value, self._places)
        if demand is None:
            return
        member = f"{path}.{demand.member}"
        if self._first is None:
            self._first = Demand(demand.cell, member)
        elif self._first.cell != demand.cell:
            message = (
                f"the jobs of one batch live in one cell: this belongs to cell {demand.cell}, and "
                f"{self._first.member} to cell {self._first.cell}; submit them apart"
            )
            raise Invalid.at([PathError(demand.member, message)])

    @property
    def cell(self) -> int | None:
        """Returns the cell of the batch; None if each will do."""
        if self._first is not None:
            return self._first.cell
        return self._places.of_key(self._key) if self._key is not None else None


def _by_id(members: dict[str, Any], places: Places, own: Demand | None) -> Demand | None:
    first = own
    depends_on = members.get("dependsOn")
    for index, text in enumerate(depends_on if isinstance(depends_on, list) else ()):
        job_id = parse_job_id(text) if isinstance(text, str) else None
        if job_id is None:
            continue
        cell, member = cell_of(job_id, places.cells), f"dependsOn[{index}]"
        if first is None:
            first = Demand(cell, member)
        elif first.cell != cell:
            message = (
                f"this job lives in cell {cell} of {places.cells}, and {first.member} in cell {first.cell}; "
                f"jobs of different cells cannot be tied"
            )
            raise Invalid.at([PathError(member, message)])
    return first


def _by_queue(members: dict[str, Any], places: Places) -> Demand | None:
    if places.pinned is no_queue:
        return None
    job_type, queue = members.get("type"), members.get("queue")
    if not isinstance(job_type, str) or not isinstance(queue, str | None):
        return None
    pinned = places.pinned(places.tenant_id, job_type, queue)
    return Demand(places.of_key(pinned), "queue") if pinned is not None else None


def _by_key(members: dict[str, Any], places: Places) -> Demand | None:
    for name in KEYS:
        text = members.get(name)
        if isinstance(text, str):
            return Demand(places.of_key(text), name)
    return None
