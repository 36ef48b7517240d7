"""Runs over cells: `TESTS_CELLS=4` makes the ordinary service of a test serve four of them (`make test-cells`)."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.support.cells import CellService, cell_database, running_cells
from tests.support.database_pool import TestDatabases

CELLS_OF_RUN = int(os.environ.get("TESTS_CELLS", "0"))
# Tests that do not hold over several cells, by reason.
LEFT_OUT = {
    "notifies on the channel of a single database": ("test_malformed_notifications_do_not_end_the_listening",),
    "holds a lock in a single database": (
        "test_while_the_first_is_under_way_a_repeat_is_told_to_come_back",
        "test_a_wish_that_meets_the_end_of_its_attempt_is_not_lost",
    ),
    "the median of run times is the weighted mean of the cells": (
        "test_run_times_of_completed_jobs_are_observed_and_suggest_a_timeout",
    ),
    "submits ids of any cell to the node of cell 0": ("test_children_of_a_job_that_never_ran_are_cancelled_too",),
    "a count is bounded in each cell": ("test_a_count_is_bounded_and_says_so",),
}
OF_ONE_DATABASE = {"database_url", "start_service", "empty_database_url"}


@asynccontextmanager
async def service_over_cells(databases: TestDatabases) -> AsyncIterator[CellService]:
    """Yields a running service over the cells of this run, with a database of its own."""
    count = CELLS_OF_RUN
    async with databases.cells(count) as url, cell_database(url, count) as cells, running_cells(cells) as running:
        yield running


def skip_tests_of_one_database(items: Sequence[pytest.Item]) -> None:
    """Skips the tests that use a database without a service over cells."""
    reasons = {name: reason for reason, tests in LEFT_OUT.items() for name in tests}
    for item in items:
        if (reason := reasons.get(getattr(item, "originalname", item.name))) is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
        names = set(getattr(item, "fixturenames", ()))
        if not names & {"service", "contract"}:
            item.add_marker(pytest.mark.skip(reason="has no service over cells"))
        elif found := names & OF_ONE_DATABASE:
            item.add_marker(pytest.mark.skip(reason=f"uses one database itself ({', '.join(sorted(found))})"))
