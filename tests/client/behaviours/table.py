"""Table of behaviours: what each client of the service does."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.client.behaviours import following, jobs, operations, posting
from tests.client.behaviours.stage import Stage

Behaviour: TypeAlias = Callable[[Stage], Awaitable[None]]

BEHAVIOURS: tuple[Behaviour, ...] = (
    jobs.a_submitted_job_runs_and_its_result_is_returned,
    jobs.the_same_idempotency_key_submits_one_job,
    jobs.a_job_id_of_the_caller_submits_one_job,
    jobs.an_invalid_submission_names_each_path,
    jobs.an_unknown_job_is_not_found,
    jobs.waiting_gives_up_in_time_and_the_job_goes_on,
    jobs.a_job_is_cancelled_once,
    jobs.a_failed_job_is_retried,
    jobs.a_batch_is_submitted_as_a_whole,
    jobs.a_batch_is_cancelled,
    jobs.lines_of_any_number_are_one_batch,
    jobs.a_list_yields_each_match_once_over_all_pages,
    jobs.all_failed_jobs_that_match_are_retried,
    jobs.a_signal_is_sent_once_and_listed,
    jobs.the_history_and_the_reason_of_a_state_are_read,
    jobs.a_service_that_is_away_is_unreachable,
    following.a_stream_yields_the_history_of_a_job_and_ends_with_it,
    following.a_stream_of_a_retried_job_goes_on_past_its_first_end,
    following.a_stream_continues_across_a_restart_without_gap_or_repetition,
    following.waiting_continues_across_a_restart,
    following.several_calls_wait_at_the_same_time,
    following.the_stream_of_all_jobs_yields_what_matches_across_a_restart,
    posting.waiting_moves_to_long_polls_and_polls_across_a_restart,
    posting.each_post_has_an_idempotency_key_of_its_own,
    posting.a_submission_whose_answer_is_lost_makes_one_job,
    posting.lines_whose_answer_is_lost_are_sent_again_with_the_same_key,
    posting.a_call_whose_answer_is_lost_is_not_repeated_if_it_would_act_twice,
    operations.a_paused_queue_starts_nothing_until_it_is_resumed,
    operations.the_service_shows_its_nodes_figures_and_needs,
    operations.limits_of_a_queue_and_of_a_job_type_are_set_and_removed,
    operations.job_types_show_their_schemas,
    operations.a_job_type_is_declared_and_deleted,
    operations.a_schedule_is_created_changed_run_and_deleted,
    operations.a_webhook_is_delivered_and_verified,
    operations.a_webhook_is_tested_changed_rotated_and_deleted,
    operations.a_key_does_what_its_scopes_allow_until_it_is_revoked,
    operations.a_ticket_opens_the_stream_of_one_job,
    operations.a_limit_on_submissions_is_waited_for,
)


def name_of(behaviour: Behaviour) -> str:
    """Returns the name of a behaviour for the test's ID."""
    return getattr(behaviour, "__name__", "").replace("_", "-")
