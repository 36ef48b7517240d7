"""The arguments of `duly.submit` that `duly.transactional` makes."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from duly.transactional.statement import call_of, statement


class Order(BaseModel):
    number: int
    at: datetime


def test_options_are_spelled_as_in_the_http_api_and_none_is_left_out() -> None:
    parent = UUID(int=7)
    options = {"run_at": datetime(2030, 1, 1, tzinfo=UTC), "depends_on": [parent], "unique_key": None, "tenant": "acme"}
    call = call_of("report", None, options)
    assert (call.type, call.parameters) == ("report", "{}")
    assert json.loads(call.options) == {"runAt": "2030-01-01T00:00:00Z", "dependsOn": [str(parent)], "tenant": "acme"}


def test_parameters_may_be_a_model() -> None:
    order = Order(number=1, at=datetime(2030, 1, 1, tzinfo=UTC))
    assert json.loads(call_of("report", order, {}).parameters) == {"number": 1, "at": "2030-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("parameters", "options", "error"),
    [({}, {"prority": 1}, TypeError), (float("nan"), {}, ValueError), (object(), {}, ValueError)],
)
def test_what_cannot_be_sent_is_an_error(parameters: Any, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        call_of("report", parameters, options)


@pytest.mark.parametrize("schema", ["", "a b", 'x".y', "duly; drop table orders", "x%s"])
def test_a_schema_is_a_plain_name(schema: str) -> None:
    with pytest.raises(ValueError, match="schema must be a plain name"):
        statement(schema, "$1")
