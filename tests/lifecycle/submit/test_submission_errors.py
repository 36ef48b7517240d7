"""Errors of a submission: each has its path and a message, and an unknown field a suggestion."""

import pytest
from pydantic import ValidationError

from duly.domain.json_reader import JsonRefused
from duly.errors import DulyError, Invalid, NotFound, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.submit.submission_errors import MOST_SUGGESTIONS, nested_under, path_errors, validation_errors
from duly.lifecycle.submit.submission_model import Submission


def errors_of(members: dict[str, object]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as raised:
        Submission.model_validate(members)
    return [(error.path, error.message) for error in validation_errors(raised.value, Submission)]


def test_an_unknown_field_is_named_with_the_nearest_known_one() -> None:
    assert errors_of({"type": "echo", "timeoutSecond": 3}) == [
        ("timeoutSecond", 'unknown field; did you mean "timeoutSeconds"?')
    ]


def test_an_unknown_field_that_resembles_none_gets_no_suggestion() -> None:
    assert errors_of({"type": "echo", "zzzzzz": 3}) == [("zzzzzz", "unknown field")]


def test_suggestions_are_limited_since_each_takes_time() -> None:
    found = errors_of({"type": "echo"} | {f"priority{number}": 1 for number in range(MOST_SUGGESTIONS + 1)})
    assert sum("did you mean" in message for _, message in found) == MOST_SUGGESTIONS


def test_the_snake_case_name_of_a_field_is_unknown() -> None:
    assert errors_of({"type": "echo", "max_attempts": 3}) == [
        ("max_attempts", 'unknown field; did you mean "maxAttempts"?')
    ]


AT_A = [PathError("a", "is wrong")]


@pytest.mark.parametrize(
    ("error", "errors"),
    [
        (JsonRefused(422, "VALIDATION_FAILED", AT_A), AT_A),
        (Invalid.at(AT_A), AT_A),
        (NotFound("There is no such job."), [PathError("", "There is no such job.")]),
        (ValueError("not JSON"), [PathError("", "not JSON")]),
    ],
)
def test_every_error_is_read_as_paths_and_messages(error: Exception, errors: list[PathError]) -> None:
    assert path_errors(error) == errors


def test_errors_of_a_nested_submission_have_the_path_of_its_member() -> None:
    with pytest.raises(DulyError) as raised, nested_under("then"):
        raise Invalid.at([PathError("uniqueKey", "is wrong"), PathError("", "is wrong")])
    assert [each["path"] for each in raised.value.details["errors"]] == ["then.uniqueKey", "then"]


def test_errors_of_nested_parameters_have_the_path_of_the_member() -> None:
    with pytest.raises(Invalid) as raised, nested_under("submission"):
        raise ParametersInvalid(AT_A)
    assert [each["path"] for each in raised.value.details["errors"]] == ["submission.a"]
