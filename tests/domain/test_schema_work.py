"""Allowed JSON Schemas, and the bound on their work."""

from typing import Any

import pytest

from duly.domain.schema_subschemas import MOST_SUBSCHEMAS, SchemaRefused
from duly.domain.schema_work import MOST_NESTED, SchemaWork


def doubling(steps: int) -> dict[str, Any]:
    """Returns a schema in which each definition refers to the next one twice."""
    definitions: dict[str, Any] = {
        f"step{n}": {"allOf": [{"$ref": f"#/$defs/step{n + 1}"}, {"$ref": f"#/$defs/step{n + 1}"}]}
        for n in range(steps)
    }
    return {"$defs": definitions | {f"step{steps}": {"type": "integer"}}, "$ref": "#/$defs/step0"}


def chain(steps: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {f"step{n}": {"$ref": f"#/$defs/step{n + 1}"} for n in range(steps)}
    return {"$defs": definitions | {f"step{steps}": {}}, "$ref": "#/$defs/step0"}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"items": {"$ref": "https://example.com/schema"}}, "items.$ref"),
        ({"$ref": "file:///etc/hostname"}, "$ref"),
        ({"$ref": "other.json"}, "$ref"),
        ({"$ref": 3}, "$ref"),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, "properties.a.$ref"),
        ({"$ref": "#missing"}, "$ref"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$schema"),
        ({"$schema": ["https://json-schema.org/draft/2020-12/schema"]}, "$schema"),
        ({"items": {"$id": "https://example.com/part"}}, "items.$id"),
        ({"$dynamicRef": "#node"}, "$dynamicRef"),
        ({"$ref": "#"}, ""),
        ({"anyOf": [{"$ref": "#"}]}, "anyOf[0]"),
        ({"dependencies": {"a": {"$ref": "#"}}}, "dependencies.a"),
        (doubling(30), "$defs.step18"),
        (chain(MOST_NESTED), "$defs.step0"),
        ({"$defs": {f"d{n}": {} for n in range(MOST_SUBSCHEMAS)}}, ""),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_at_its_path(schema: dict[str, Any], path: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        SchemaWork(schema)
    assert refused.value.path == path
    assert refused.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/order"},
        {"$defs": {"item": {"$anchor": "item", "type": "string"}}, "items": {"$ref": "#item"}},
        {"$defs": {"a/b": {"type": "string"}}, "items": {"$ref": "#/$defs/a~1b"}},
        {"prefixItems": [{"type": "string"}], "items": {"$ref": "#/prefixItems/0"}},
        {"properties": {"properties": {"$ref": "#"}, "$ref": {"type": "string"}}},
        {"items": False, "additionalProperties": True},
        chain(MOST_NESTED - 2),
        doubling(8),
    ],
)
def test_references_within_a_schema_are_followed(schema: dict[str, Any]) -> None:
    assert SchemaWork(schema).visits(64) >= 1


def test_the_work_of_a_flat_schema_does_not_grow_with_the_depth_of_the_value() -> None:
    work = SchemaWork({"properties": {"name": {"type": "string"}, "size": {"type": "integer"}}})
    assert work.visits(0) < work.visits(1) == work.visits(64)


def test_the_work_of_a_tree_grows_linearly_with_its_depth() -> None:
    work = SchemaWork({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}})
    step = work.visits(2) - work.visits(1)
    assert work.visits(64) == work.visits(1) + 63 * step


def test_alternatives_with_different_members_count_once_for_each_member() -> None:
    apart = SchemaWork({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"b": {"$ref": "#"}}}]})
    assert apart.visits(64) < 1_000


def test_alternatives_that_recurse_into_the_same_member_double_with_each_level() -> None:
    both = SchemaWork({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]})
    assert both.visits(11) > 2 * both.visits(10) - both.visits(0)
    assert both.visits(64) > 10**12


def test_members_that_several_keywords_apply_to_are_counted_for_each() -> None:
    work = SchemaWork({"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a": {"$ref": "#"}}})
    assert work.visits(20) > 2**20
