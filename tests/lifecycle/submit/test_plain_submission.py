"""`read_plain` reads a submission as the model of all submissions does, or leaves it to the model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.json_numbers import NumberText
from duly.errors import Invalid
from duly.lifecycle.submit.plain_submission import PlainSubmission, read_plain
from duly.lifecycle.submit.submission_model import Submission
from duly.lifecycle.submit.validate_model import read_model

_NAMES = ["echo", "a/b", "a" * 128, "a" * 129, "", "/a", "a//b", "a/..", "a/limits", "echo\n", "é", "a b", "..."]
_PRIORITIES = [0, 100, 101, -100, -101, True, 5.0, "5", NumberText("5e0")]
_VALUES = {
    "type": st.sampled_from([*_NAMES, None, 5]),
    "queue": st.sampled_from([*_NAMES, None, 5]),
    "priority": st.sampled_from([*_PRIORITIES, None]),
    "parameters": st.sampled_from([{}, {"a": [1]}, [], "text", None, 5]),
    "labels": st.sampled_from([{}, {"a": "b"}]),
    "priorty": st.just(5),
}


@given(st.fixed_dictionaries({}, optional=_VALUES))
def test_a_submission_is_read_as_by_the_model_or_left_to_it(value: dict[str, Any]) -> None:
    plain = read_plain(value)

    if plain is not None:
        submission = read_model(Submission, value)
        queue = submission.queue if "queue" in submission.model_fields_set else None
        assert plain == (submission.type, submission.parameters, submission.priority, queue)
        assert submission.model_fields_set <= {"type", "parameters", "priority", "queue"}


@given(st.fixed_dictionaries({}, optional=_VALUES).map(lambda members: {**members, "type": "echo"}))
def test_a_valid_submission_without_other_members_is_plain(value: dict[str, Any]) -> None:
    try:
        submission = read_model(Submission, value)
    except Invalid:
        return
    spelled_as_integer = type(value.get("priority", 0)) is int
    assert (read_plain(value) is not None) == (spelled_as_integer and "labels" not in value), submission


def test_members_that_are_missing_have_their_defaults() -> None:
    assert read_plain({"type": "echo"}) == PlainSubmission("echo", {}, priority=0, queue=None)


@pytest.mark.parametrize("value", [None, "echo", ["echo"], {}, {"type": "echo", "labels": {}}])
def test_what_is_no_plain_submission_is_left_to_the_model(value: object) -> None:
    assert read_plain(value) is None
