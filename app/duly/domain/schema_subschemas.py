"""Subschemas of a JSON Schema, and which of them apply to the same value or to its parts.

Only what a service can check without fetching anything is allowed: JSON Schema 2020-12, and references within the
schema.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from duly.domain.unstorable_json import write_path

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_SUBSCHEMAS = 2_000

Path: TypeAlias = tuple[str | int, ...]
# A part of a value: a member by its name, an item by its index, or one of the sets below.
Part: TypeAlias = tuple[str, str | int]

ANY_MEMBER: Part = ("member", "*any")
ANY_ITEM: Part = ("item", -1)
MEMBER_NAMES: Part = ("name", "")

_SAME_ONE = ("not", "if", "then", "else")
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_MAPS = ("dependentSchemas", "dependencies")  # the second is of earlier drafts, and applied by the validator too
_PARTS_ONE: Mapping[str, Part] = {
    "additionalProperties": ANY_MEMBER,
    "unevaluatedProperties": ANY_MEMBER,
    "propertyNames": MEMBER_NAMES,
    "items": ANY_ITEM,
    "contains": ANY_ITEM,
    "unevaluatedItems": ANY_ITEM,
}
_DEFINITIONS = ("$defs", "definitions")
_REFUSED = {
    "$dynamicRef": "is not supported; use $ref",
    "$recursiveRef": "is not supported; use $ref",
    "$vocabulary": "is not supported",
}


class SchemaRefused(ValueError):
    """Schema that cannot be used. `path` is its place in the schema, such as `$defs.Item.pattern`."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = write_path(path)
        self.message = message
        super().__init__(f"{self.path}: {message}" if path else message)


class Subschema(NamedTuple):
    """Object in a schema that is a schema itself, identified by its place in memory.

    Attributes:
        members: its keywords and their values.
        same: subschemas that apply to the same value.
        parts: subschemas that apply to parts of the value.
    """

    path: Path
    members: Mapping[str, Any]
    same: list[int]
    parts: list[tuple[Part, int]]


def read_subschemas(schema: Mapping[str, Any]) -> dict[int, Subschema]:
    """Returns the subschemas by identity, beginning with the schema itself. They are valid while `schema` exists.

    Raises:
        SchemaRefused: it has too many, is of another dialect, or refers to something outside of it.
    """
    anchors: dict[str, Mapping[str, Any]] = {}
    found: dict[int, Subschema] = {}
    references: list[tuple[Subschema, Path, str]] = []
    left: list[tuple[Path, Any]] = [((), schema)]
    while left or references:
        if not left:
            subschema, path, reference = references.pop()
            target_path, target = _target(schema, anchors, path, reference)
            subschema.same.append(id(target))
            left.append((target_path, target))
            continue
        path, node = left.pop()
        if not isinstance(node, dict) or id(node) in found:
            continue
        if len(found) == MOST_SUBSCHEMAS:
            raise SchemaRefused((), f"has more than {MOST_SUBSCHEMAS:,} subschemas")
        _check_keywords(path, node)
        subschema = found[id(node)] = Subschema(path, node, [], [])
        for place, part, child in _children(node):
            left.append(((*path, *place), child))
            if isinstance(child, dict) and part is not None:
                _add(subschema, part, child)
        if isinstance(anchor := node.get("$anchor"), str):
            anchors[anchor] = node
        if "$ref" in node:
            references.append((subschema, (*path, "$ref"), node["$ref"]))
    return found


_SAME: Part = ("same", "")


def _add(subschema: Subschema, part: Part, child: Mapping[str, Any]) -> None:
    if part == _SAME:
        subschema.same.append(id(child))
    else:
        subschema.parts.append((part, id(child)))


def _children(node: Mapping[str, Any]) -> Iterator[tuple[Path, Part | None, Any]]:
    """Yields the subschemas directly below one, with the part of the value that they apply to; None for definitions."""
    for word in _SAME_ONE:
        if word in node:
            yield (word,), _SAME, node[word]
    for word in _SAME_LISTS:
        yield from (((word, index), _SAME, each) for index, each in enumerate(_list(node.get(word))))
    for word, part in _PARTS_ONE.items():
        if word in node:
            yield (word,), part, node[word]
    members = _members(node, "properties")
    yield from ((("properties", name), ("member", name), each) for name, each in members)
    yield from ((("patternProperties", name), ANY_MEMBER, each) for name, each in _members(node, "patternProperties"))
    for word in _SAME_MAPS:
        yield from (((word, name), _SAME, each) for name, each in _members(node, word))
    items = enumerate(_list(node.get("prefixItems")))
    yield from ((("prefixItems", index), ("item", index), each) for index, each in items)
    for word in _DEFINITIONS:
        yield from (((word, name), None, each) for name, each in _members(node, word))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _members(node: Mapping[str, Any], word: str) -> list[tuple[str, Any]]:
    value = node.get(word)
    return list(value.items()) if isinstance(value, dict) else []


def _check_keywords(path: Path, node: Mapping[str, Any]) -> None:
    for word, message in _REFUSED.items():
        if word in node:
            raise SchemaRefused((*path, word), message)
    if path and "$id" in node:
        raise SchemaRefused((*path, "$id"), "is allowed at the top only")
    dialect = node.get("$schema", DIALECT)
    if dialect not in (DIALECT, f"{DIALECT}#"):  # it may be any JSON value, and some have no hash
        raise SchemaRefused((*path, "$schema"), f"must be {DIALECT}")


def _target(
    schema: Mapping[str, Any], anchors: Mapping[str, Mapping[str, Any]], path: Path, reference: object
) -> tuple[Path, Any]:
    """Returns the place and the value that a reference names."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise SchemaRefused(path, 'must refer to a part of this schema, such as "#/$defs/Item"')
    if reference in {"#", "#/"}:
        return (), schema
    if not reference.startswith("#/"):
        if reference[1:] not in anchors:
            raise SchemaRefused(path, f'"{reference}" does not exist in this schema')
        return path, anchors[reference[1:]]
    place: Path = ()
    node: Any = schema
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        key: str | int = int(name) if isinstance(node, list) and name.isdecimal() else name
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            raise SchemaRefused(path, f'"{reference}" does not exist in this schema') from None
        place = (*place, key)
    return place, node
