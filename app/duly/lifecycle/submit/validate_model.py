"""Validation of a JSON value that was read before, so that no request is parsed twice."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from duly.domain.json_writer import dump_text
from duly.errors import Invalid
from duly.lifecycle.submit.submission_errors import validation_errors
from duly.lifecycle.submit.submission_model import Submission

Model = TypeVar("Model", bound=BaseModel)


def read_model(model: type[Model], value: object) -> Model:
    """Validates a JSON value: 2.0 µs for a submission, from its text 2.5, and 186 µs more for one of 22 KB.

    Parameters of submissions in it stay the values that were read, digit for digit.

    Raises:
        Invalid: the value does not fit the model.
    """
    try:
        return model.__pydantic_validator__.validate_python(value)  # type: ignore[no-any-return]
    except ValidationError:
        # Once more as JSON: a number that was kept as text (`1e1`) is valid then, and errors are worded for JSON.
        return _read_as_json(model, value)


def _read_as_json(model: type[Model], value: object) -> Model:
    try:
        read = model.model_validate_json(dump_text(value))
    except ValidationError as error:
        raise Invalid.at(validation_errors(error, model)) from None
    _restore_parameters(read, value)
    return read


def _restore_parameters(read: object, value: Any) -> None:
    """Replaces the parameters of submissions by the values that were read: Pydantic rounds numbers to doubles."""
    if isinstance(read, Submission):
        if "parameters" in value:
            read.parameters = value["parameters"]
    elif isinstance(read, BaseModel):
        for name in read.model_fields_set:
            _restore_parameters(getattr(read, name), value[name])
    elif isinstance(read, list):
        for item, item_value in zip(read, value, strict=True):
            _restore_parameters(item, item_value)
