"""Runs over cells: `TESTS_CELLS=4` makes the ordinary service of a test serve four of them (`make test-cells`)."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.support.cells import CellService, cell_database, running_cells
from tests.support.database_pool import TestDatabases

CELLS_OF_RUN = int(os.environ.get("TESTS_CELLS", "0"))
# Tests that do not hold over several cells, by reason.
LEFT_OUT = {
    "notifies on the channel of a single database": ("test_malformed_notifications_do_not_end_the_listening",),
    "the median of run times is the weighted mean of the cells": (
        "test_run_times_of_completed_jobs_are_observed_and_suggest_a_timeout",
    ),
    "events of different cells are in any order": (
        "test_a_filter_resumes_after_any_frame",
        "test_a_client_that_takes_nothing_is_cut_off_and_resumes",
    ),
    "each cell takes so many batches at once": ("test_a_client_that_goes_away_leaves_nothing_behind",),
    "writes a tenant that cells copy from cell 0": (
        "test_an_idle_service_reads_the_limits_of_the_tenants_that_submit_only",
    ),
    "parks or faults the loops of the node of a single cell": (
        "test_one_job_costs_one_claim_however_many_polls_wait",
        "test_filters_that_share_a_lane_take_turns",
        "test_an_error_anywhere_in_following_ends_loses_none",
    ),
    "an id of the client decides the cell": ("test_a_submission_that_would_open_a_queue_too_many_is_refused[put]",),
    "a count is bounded in each cell": ("test_a_count_is_bounded_and_says_so",),
    "a process is ready while any cell serves": ("test_readiness.py",),
    "requests of a cell that is away answer CELL_AWAY": (
        "test_a_database_that_is_away_is_a_503_with_a_hint_when_to_come_back",
    ),
    "messages to different cells are answered in any order": ("test_what_is_asked_over_a_socket_is_told_too",),
    "a socket follows so many jobs of each cell": ("test_a_socket_follows_so_much_and_no_more",),
    "keys and tickets are looked up in each cell": (
        "test_a_cached_key_works_while_the_database_is_away",
        "test_a_wrong_checksum_costs_no_query",
        "test_the_last_use_is_recorded_to_the_minute",
        "test_tickets_that_nobody_used_do_not_gather",
    ),
    "each cell gives its part of the limits of a tenant": (
        "test_a_tenant_may_submit_so_many_in_a_time",
        "test_over_all_nodes_and_however_many_come_at_once",
        "test_a_batch_counts_with_all_its_jobs",
        "test_a_queue_holds_so_many_waiting_jobs",
        "test_when_jobs_have_started_there_is_room_again",
        "test_limits_are_changed_while_the_service_runs",
        "test_the_counts_of_queues_that_clients_name_take_bounded_room",
        "test_the_rate_of_a_tenant_is_its_own",
        "test_a_key_with_a_rate_is_refused_beyond_it",
        "test_lines_for_more_queues_than_are_counted_at_once_are_admitted_as_few_are[None]",
    ),
    "metrics have a label `cell`": (
        "test_metrics_and_the_list_of_types_show_it",
        "test_the_offset_is_a_gauge_and_a_warning_from_the_start_and_follows_the_clock",
        "test_a_follower_that_is_refused_when_it_is_due_shows_on_its_batch",
        "test_a_refused_job_leaves_its_due_time_without_one_and_shows_on_its_schedule",
        "test_jobs_of_lines_are_taken_up_at_once_and_counted",
        "test_where_even_the_note_is_refused_log_and_metric_tell",
        "test_a_job_that_three_nodes_gave_up_on_ends_as_a_crash_loop",
        "test_an_outcome_that_is_refused_for_good_holds_up_no_other",
        "test_what_others_lost_is_set_right_whatever_else_this_node_waits_for",
        "test_what_is_no_http_is_logged_and_counted_too",
    ),
    "schedules are in the cells of their names": (
        "test_the_numbers_of_webhooks_and_schedules_are_limited",
        "test_a_due_schedule_shows_the_error_and_others_are_run",
        "test_a_submission_that_would_open_a_queue_too_many_is_refused[schedule_run]",
        "test_a_service_shows_schedules_of_code_with_the_workers_that_declare_them",
        "test_catching_up_goes_on_in_order_some_at_a_time",
        "test_one_that_the_database_refuses_does_not_hold_up_the_others",
        "test_a_due_time_on_record_is_not_run_again",
        "test_a_unique_key_has_one_job_stand_for_several_due_times",
        "test_steps_at_the_same_time_fire_each_schedule_once",
        "test_a_node_without_the_handler_fires_all_the_same",
        "test_defaults_are_those_that_the_type_has_today",
        "test_old_runs_are_forgotten_in_bounded_batches",
    ),
}
# Tests of what holds in each cell, by reason and file or name: their jobs are all in one of the cells.
GATHERED = {
    "breakers are of each cell": (
        "test_job_type_breakers.py",
        "test_a_breaker_opens_for_the_tenant_whose_jobs_fail",
        "test_the_circuit_of_its_type_is_open",
    ),
    "a limit of a job type holds in each cell": (
        "test_limits.py",
        "test_its_queue_or_type_has_reached_its_concurrency",
    ),
    "slots and the order of starts are of each cell": (
        "test_eager_start.py",
        "test_a_job_that_did_not_start_in_time_fails",
        "test_others_go_first",
        "test_it_is_next",
        "test_a_job_that_may_start_waits_for_a_worker_or_for_its_paused_queue",
        "test_a_queue_is_worked_off_in_the_order_of_submission_whatever_the_clocks_of_the_nodes",
        "test_lists_are_in_the_order_of_submission_whatever_the_clocks_of_the_nodes",
    ),
    "queue names are counted in each cell": ("test_queue_limit.py",),
    "jobs that depend on one another are in one cell": (
        "test_dependencies.py",
        "test_it_waits_for_jobs_that_it_depends_on",
        "test_a_busy_service_that_loses_its_hot_tables_finishes_everything",
    ),
    "claims of workers over HTTP look into one cell after the other": (
        "test_polls.py",
        "test_a_worker_that_is_silent_between_claims_is_forgotten_unless_it_runs_a_job",
    ),
    "looks into the node or the tables of one cell": (
        "test_set_aside.py",
        "test_ids_of_tenants.py",
        "test_thrown_errors.py",
        "test_where_every_job_is_refused_it_is_said_once_and_all_go_on_when_it_ends",
        "test_a_node_whose_heartbeat_hangs_stops_its_attempts_before_others_start_them",
        "test_two_sweepers_at_once_record_one_verdict",
        "test_while_the_first_is_under_way_a_repeat_is_told_to_come_back",
        "test_an_attempt_that_its_node_does_not_know_is_found_while_no_slot_is_free",
        "test_starts_under_way_are_over_before_it_is_answered",
        "test_a_node_with_a_paused_queue_full_of_jobs_rests",
        "test_ten_thousand_that_wait_for_one_key_are_not_looked_at_by_claims",
        "test_a_change_elsewhere_reaches_whoever_follows_the_job_here_and_no_one_else",
        "test_rates_are_those_of_a_tenants_own_queues",
        "test_a_change_that_waiting_jobs_do_not_fit_is_declared_with_a_warning",
    ),
}
OVER_CELLS = {"service", "contract", "start_service"}
OF_ONE_DATABASE = {"database_url", "empty_database_url"}


@asynccontextmanager
async def service_over_cells(databases: TestDatabases, item: pytest.Item | None = None) -> AsyncIterator[CellService]:
    """Yields a running service over the cells of this run, with a database of its own: for a test, or for several."""
    count, gathered = CELLS_OF_RUN, item is not None and _reason(item, GATHERED) is not None
    async with (
        databases.cells(count) as url,
        cell_database(url, count) as cells,
        running_cells(cells, gathered=gathered) as running,
    ):
        yield running


@asynccontextmanager
async def starting_over_cells(
    databases: TestDatabases, item: pytest.Item
) -> AsyncIterator[Callable[..., Awaitable[CellService]]]:
    """Yields a function that starts services for a test over the cells of this run, also several on the same cells."""
    count, gathered = CELLS_OF_RUN, _reason(item, GATHERED) is not None
    async with databases.cells(count) as url, cell_database(url, count) as cells, AsyncExitStack() as stack:

        async def start(**settings: Any) -> CellService:
            return await stack.enter_async_context(running_cells(cells, gathered=gathered, **settings))

        yield start


def skip_tests_of_one_database(items: Sequence[pytest.Item]) -> None:
    """Skips the tests that use a database without a service over cells."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if (reason := _reason(item, LEFT_OUT)) is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
        elif not names & OVER_CELLS:
            item.add_marker(pytest.mark.skip(reason="has no service over cells"))
        elif found := names & OF_ONE_DATABASE:
            item.add_marker(pytest.mark.skip(reason=f"uses one database itself ({', '.join(sorted(found))})"))


def _reason(item: pytest.Item, tests: Mapping[str, tuple[str, ...]]) -> str | None:
    """Returns the reason by which a test is listed, by its name, also with its last parameter, or by its file."""
    name: str = getattr(item, "originalname", item.name)
    case = getattr(item, "callspec", None)
    names = {item.path.name, name, f"{name}[{case.id.rpartition('-')[2]}]" if case is not None else name}
    return next((reason for reason, listed in tests.items() if names & set(listed)), None)
