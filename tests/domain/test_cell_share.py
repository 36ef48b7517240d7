"""Shares of limits add up to the limit over time."""

import pytest

from duly.domain.cell_share import CellShare


@pytest.mark.parametrize(("count", "seconds", "cells"), [(600, 60.0, 4), (1, 10.0, 4), (7, 1.0, 3), (5, 2.0, 1)])
def test_the_rates_of_all_cells_together_are_the_rate(count: int, seconds: float, cells: int) -> None:
    burst, own_seconds = CellShare(cells).of_rate(count, seconds)
    assert burst >= 1
    assert cells * burst / own_seconds == pytest.approx(count / seconds)


def test_a_backlog_is_divided_and_that_of_a_pinned_queue_is_not() -> None:
    share = CellShare(4, pinned={(1, "mail")})
    assert [share.of_backlog(10, (1, queue)) for queue in ("default", "mail")] == [3, 10]
    assert share.of_backlog(10, (2, "mail")) == 3


def test_one_cell_has_the_whole_limit() -> None:
    assert CellShare().of_rate(600, 60.0) == (600, 60.0)
    assert CellShare().of_backlog(10, (1, "default")) == 10
