"""Settings of the node of one cell: its share of what the settings give to a process."""

from math import ceil

from duly.domain.cells import Cell
from duly.domain.node_role import Role
from duly.settings import Settings


def works(settings: Settings, cell: int) -> bool:
    """Returns whether this process runs the jobs of a cell, sweeps it and sends its webhooks."""
    return not settings.work_cells or cell in settings.work_cells


def cells_of_process(settings: Settings, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Returns the cells that this process needs: all for the API, else those that it works."""
    return cells if Role.API in settings.roles else tuple(cell for cell in cells if works(settings, cell.number))


def settings_of_cell(settings: Settings, cell: Cell, *, count: int) -> Settings:
    """Returns the settings of the node of a cell, of so many."""
    worked = len(set(settings.work_cells)) or count
    roles = settings.roles if works(settings, cell.number) else (Role.API,)
    return settings.model_copy(
        update={
            "database_schema": cell.schema,
            "roles": roles,
            "worker_slots": ceil(settings.worker_slots / worked),
            "waiting_attempts": ceil(settings.waiting_attempts / worked),
        }
    )
