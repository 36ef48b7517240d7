"""Every order of claims, outcomes, lost leases, parks, signals, cancel requests and kills of one job."""

import pytest

from tests.model.explorer import explore
from tests.model.job_model import Fault

# The fewest that a change of the model should leave: fewer would mean that it no longer shows much.
FEWEST_STATES = 50_000
SHOWN_BY = {
    Fault.NO_TOKEN_CHECK: "no write of an earlier attempt is accepted",
    Fault.TOKEN_NOT_RAISED: "no write of an earlier attempt is accepted",
    Fault.STEP_NOT_FENCED: "a step is recorded once",
    Fault.PARK_IGNORES_SIGNAL: "a signal that has come is not waited for",
    Fault.SIGNAL_WAKES_NOBODY: "a signal that has come is not waited for",
    Fault.FINISH_KEEPS_ROW: "an ended job has no hot row",
    Fault.SWEEP_NEVER_GIVES_UP: "a job has no more attempts than allowed",
    Fault.SWEEP_FORGETS_CANCEL: "a cancel request that was acknowledged wins",
    Fault.FINISH_FORGETS_CANCEL: "a cancel request that was acknowledged wins",
    Fault.RESUME_CHARGED: "a job has no more attempts than allowed",
    Fault.NO_SWEEP: "every job can end",
}


def test_no_order_of_what_can_happen_to_a_job_breaks_a_promise() -> None:
    found = explore()
    assert found.broken is None, f"{found.broken}: {' → '.join(found.way)}"
    assert len(found.came_from) > FEWEST_STATES


@pytest.mark.parametrize("fault", Fault)
def test_a_planted_mistake_is_found_with_the_way_to_it(fault: Fault) -> None:
    found = explore(fault)
    assert found.broken == SHOWN_BY[fault]
    assert found.way[0] == "claim"
