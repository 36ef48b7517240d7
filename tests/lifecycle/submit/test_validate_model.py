"""`read_model` validates a value that was read, and decides as the validation of its text does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from duly.domain.json_reader import read_json
from duly.domain.json_writer import dump_text
from duly.errors import Invalid
from duly.lifecycle.submit.submission_model import Submission
from duly.lifecycle.submit.validate_model import read_model


class _Jobs(BaseModel):
    jobs: list[Submission]
    then: Submission | None = None


def test_parameters_are_the_values_that_were_read() -> None:
    value: Any = read_json(b'{"type": "echo", "parameters": {"price": 0.10, "rows": [1e-400]}}', max_depth=9)

    assert read_model(Submission, value).parameters is value["parameters"]


@pytest.mark.parametrize("seconds", ["1e1", "10.0", "10.00", "10"])
def test_a_number_in_any_spelling_is_a_valid_member(seconds: str) -> None:
    text = f'{{"type": "echo", "delaySeconds": {seconds}, "parameters": {{"price": 0.10}}}}'

    submission = read_model(Submission, read_json(text.encode(), max_depth=9))

    assert submission.delay_seconds == 10
    assert dump_text(submission.parameters) == '{"price":0.10}'


def test_submissions_inside_of_another_model_keep_their_parameters() -> None:
    job = '{"type": "echo", "delaySeconds": 1e1, "parameters": {"price": 0.10}}'

    read = read_model(_Jobs, read_json(f'{{"jobs": [{job}, {job}], "then": {job}}}'.encode(), max_depth=9))

    assert {dump_text(each.parameters) for each in (*read.jobs, read.then) if each} == {'{"price":0.10}'}


def test_errors_are_those_of_the_text() -> None:
    with pytest.raises(Invalid) as refused:
        read_model(Submission, {"type": 5, "priorty": 1})

    errors = {each["path"]: each["message"] for each in refused.value.details["errors"]}
    assert errors == {"type": "Input should be a valid string", "priorty": 'unknown field; did you mean "priority"?'}


_MEMBERS = ("type", "queue", "priority", "runAt", "delaySeconds", "dependsOn", "labels", "callbackEvents", "uniqueKey")
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-200, 200),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["echo", "", "a/limits", "2026-01-27T10:00:00.000Z", "2026-01-27", "1769508000", "10", "fail"]),
    st.lists(st.sampled_from(["job.completed", "x", 1, None]), max_size=3),
    st.dictionaries(st.sampled_from(["a", "a:b", ""]), st.sampled_from(["x", 1, None]), max_size=2),
)


@given(st.dictionaries(st.sampled_from(_MEMBERS), _VALUES, max_size=4).map(lambda members: {"type": "echo", **members}))
def test_a_value_is_valid_exactly_if_its_text_is(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    try:
        expected = Submission.model_validate_json(text)
    except ValidationError:
        with pytest.raises(Invalid):
            read_model(Submission, read_json(text.encode(), max_depth=9))
    else:
        assert read_model(Submission, read_json(text.encode(), max_depth=9)) == expected
