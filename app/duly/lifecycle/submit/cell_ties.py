"""Ties of jobs that are recorded in a given cell: child jobs in that of their parent, and jobs of an inbox in its own.

Other submissions are recorded in the cell that their ties need (`duly.cells.placing`).
"""

from collections.abc import Iterator

from duly.domain.cells import CellNumber, cell_of, cell_of_key
from duly.domain.job import Flow
from duly.errors import Invalid, PathError


def check_ties(flow: Flow | None, tenant_id: int, cell: CellNumber, *, beside: str) -> None:
    """Checks that a job in this cell is not tied to jobs of another cell.

    Args:
        flow: the ties of the job.
        tenant_id: its tenant.
        cell: its cell.
        beside: what decides the cell, such as "its parent".

    Raises:
        Invalid: it depends on a job of another cell, or has a key of another cell.
    """
    if flow is None or cell.count == 1:
        return
    errors = [
        PathError(path, f"belongs to cell {other} of {cell.count}, and {beside} to cell {cell.number}{remedy}")
        for path, other, remedy in _ties(flow, tenant_id, cell.count)
        if other != cell.number
    ]
    if errors:
        raise Invalid.at(errors)


def _ties(flow: Flow, tenant_id: int, count: int) -> Iterator[tuple[str, int, str]]:
    """Yields each tie by its path, with its cell and the remedy. The concurrency key decides where there are two."""
    for index, job_id in enumerate(flow.depends_on):
        yield f"dependsOn[{index}]", cell_of(job_id, count), ""
    key = flow.concurrency_key or flow.unique_key
    if key is not None:
        path = "concurrencyKey" if flow.concurrency_key is not None else "uniqueKey"
        yield path, cell_of_key(tenant_id, key, count), "; submit it over HTTP, as a job of its own"
