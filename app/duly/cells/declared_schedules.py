"""Schedules that the code of handlers declares: each is in the cell of its name, and so is its job."""

from duly.cells.placing import Demand, Places, demand_of
from duly.domain.job import DEFAULT_TENANT
from duly.errors import Invalid, PathError
from duly.handlers.exceptions import HandlerError
from duly.lifecycle.submit.requested_submission import submission_value
from duly.node import Node

# Names of a schedule that are tried for one that fits the cell of its job.
_MOST_NAMES = 2_000


def require_fitting_schedules(node: Node) -> None:
    """Checks the keys and dependencies of all declared schedules.

    Raises:
        HandlerError: the job of a schedule belongs to another cell.
    """
    places = Places(DEFAULT_TENANT, node.cell.count)
    for schedule in node.registry.schedules:
        value = submission_value(schedule.request, max_depth=node.settings.json_depth)
        try:
            require_fitting(value, schedule.name, places)
        except Invalid as refused:
            [error] = refused.details["errors"]
            raise HandlerError(f'schedule "{schedule.name}": {error["path"]} {error["message"]}') from None


def require_fitting(submission: object, name: str, places: Places) -> int:
    """Returns the cell of a schedule.

    Raises:
        Invalid: its job belongs to another cell, or to two.
    """
    cell, demand = places.of_key(name), demand_of(submission, places)
    if demand is not None and demand.cell != cell:
        raise Invalid.at([_disagreement(demand, name, places)])
    return cell


def _disagreement(demand: Demand, name: str, places: Places) -> PathError:
    """Returns the error of a schedule whose job belongs to another cell than its name, with a name that fits."""
    names = (f"{name}-{number}" for number in range(2, _MOST_NAMES))
    fitting = next((each for each in names if places.of_key(each) == demand.cell), None)
    remedy = f'; a schedule called "{fitting}" belongs to that one' if fitting is not None else ""
    message = f'belongs to cell {demand.cell} of {places.cells}, and a schedule called "{name}" to another{remedy}'
    return PathError(f"submission.{demand.member}", message)
