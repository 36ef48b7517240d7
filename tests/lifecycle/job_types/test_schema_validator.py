"""Validation by a schema that a client chose."""

import json
from typing import Any

import pytest

from duly.domain.json_reader import read_json
from duly.domain.schema_subschemas import SchemaRefused
from duly.lifecycle.job_types.schema_validator import SchemaValidator

REPORT = {
    "type": "object",
    "properties": {
        "start": {"type": "string", "format": "date"},
        "rows": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "price": {"type": "number", "multipleOf": 0.01},
    },
    "required": ["start"],
    "additionalProperties": False,
}


def errors(schema: Any, text: str) -> list[tuple[str, str]]:
    value = read_json(text.encode(), max_depth=64)
    found = SchemaValidator(json.dumps(schema)).errors(value, text, root="parameters")
    return [(path, message) for path, message in found]


def test_a_valid_value_has_no_errors() -> None:
    assert errors(REPORT, '{"start": "2024-01-31", "rows": [1, 2]}') == []


def test_errors_have_the_path_of_the_member() -> None:
    found = errors(REPORT, '{"rows": [1, -1, "x"], "colour": 1, "start": "2024-13-01"}')
    assert dict(found) == {
        "parameters.rows[1]": "the value is less than the minimum of 0",
        "parameters.rows[2]": 'the value is not of type "integer"',
        "parameters.colour": "is not allowed",
        "parameters.start": 'the value is not a "date"',
    }
    assert errors(REPORT, "{}") == [("parameters.start", "is required")]


def test_a_value_is_never_repeated_in_an_error() -> None:
    assert "secret" not in str(errors({"type": "integer"}, '"secret"'))
    assert "secret" not in str(errors({"properties": {"a": {"enum": ["x"]}}}, '{"a": "secret"}'))


@pytest.mark.parametrize("number", ["0.10", "1e2", "123456789012345678901234567890.5"])
def test_numbers_that_keep_their_text_are_validated_by_their_value(number: str) -> None:
    assert errors({"type": "number", "minimum": 0.1}, number) == []
    assert errors({"type": "number", "exclusiveMaximum": 0.1}, number) != []


def test_a_price_is_a_multiple_of_a_cent() -> None:
    assert errors(REPORT, '{"start": "2024-01-01", "price": 19.99}') == []
    assert errors(REPORT, '{"start": "2024-01-01", "price": 0.10}') == []


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "strin"}, "type"),
        ({"properties": {"a": {"minLength": -1}}}, "properties.a.minLength"),
        ({"pattern": "(?=a)b"}, "pattern"),
        ({"items": {"pattern": r"(a)\1"}}, "items.pattern"),
        ({"pattern": "["}, "pattern"),
        ({"pattern": "((a{50}){50}){50}"}, "pattern"),
        ({"patternProperties": {"(?!a)": {}}}, "patternProperties.(?!a)"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "$ref"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, path: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        SchemaValidator(json.dumps(schema))
    assert refused.value.path == path


def test_patterns_are_matched_in_linear_time() -> None:
    # With backtracking, this would take 2**40 steps.
    assert errors({"pattern": "^(a|aa)+$"}, json.dumps("a" * 40 + "b")) != []


def test_a_value_that_would_take_long_is_refused_before_it_is_validated() -> None:
    node: dict[str, Any] = {"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]}
    deep = '{"a":' * 60 + "1" + "}" * 60
    [(path, message)] = errors(node, deep)
    assert (path, "nested too deeply" in message) == ("parameters", True)
    assert errors(node, '{"a":{"a":1}}') == []


def test_at_most_a_hundred_errors_are_listed() -> None:
    assert len(errors({"items": {"type": "string"}}, json.dumps([1] * 1_000))) == 100
