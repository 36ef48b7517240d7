"""The shop's jobs, without a service and without a database."""

from shop.jobs import handlers

from duly.testing import run_handler_sync


def test_a_report_counts_the_orders_of_each_day_and_shows_its_progress() -> None:
    run = run_handler_sync(handlers, "sales-report", {"startDate": "2026-01-01", "endDate": "2026-01-02"})
    assert run.result == {"days": 2, "orders": 203}
    assert run.progress == [(50, "day 1 of 2"), (100, "day 2 of 2")]


def test_a_report_that_ends_before_it_begins_fails_at_once() -> None:
    run = run_handler_sync(handlers, "sales-report", {"startDate": "2026-01-02", "endDate": "2026-01-01"})
    assert run.error is not None
    assert "endDate is before startDate" in run.error["message"]
    assert not run.retried
