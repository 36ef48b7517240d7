"""Reader of JSON Schemas (2020-12, as pydantic and workers declare them)."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from duly.cli.typegen.model import (
    Anything,
    ArrayOf,
    Constants,
    Definition,
    MappingOf,
    Member,
    ObjectOf,
    Reference,
    Scalar,
    ScalarKind,
    Type,
    Union,
)
from duly.cli.typegen.names import Names

_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})


class SchemaReader:
    """Reads the schema of one document into definitions, which are appended to a list.

    Keywords that bound values (`minimum`, `pattern`, `format`) are left out, and a keyword that neither language can
    express makes its part `Anything`. References to other documents are not followed.

    Args:
        document: root of the local references.
        names: names of the file that is written.
        prefix: beginning of the names of definitions that references name.
    """

    def __init__(self, document: Mapping[str, Any], *, names: Names, prefix: str) -> None:
        self.definitions: list[Definition] = []
        self._document = document
        self._names = names
        self._prefix = prefix
        self._referenced: dict[str, str] = {}

    def define(self, name: str, schema: Any) -> Type:
        """Defines the type of a schema under a name that resembles `name`. Returns a reference to it."""
        return self._define(self._names.new(name), schema)

    def reference(self, pointer: str) -> Type:
        """Returns a reference to a part of the document, such as `#/$defs/Row`, and defines it once."""
        if pointer not in self._referenced:
            found = self._at(pointer)
            if found is None:
                return Anything()
            self._referenced[pointer] = self._names.new(f"{self._prefix} {_unescaped(pointer.rpartition('/')[2])}")
            self._define(self._referenced[pointer], found)
        return Reference(self._referenced[pointer])

    def _define(self, name: str, schema: Any) -> Type:
        described = schema.get("description", "") if isinstance(schema, Mapping) else ""
        kind = self._read(schema, name=name, as_definition=True)
        self.definitions.append(Definition(name, kind, described if isinstance(described, str) else ""))
        return Reference(name)

    def _read(self, schema: Any, *, name: str, as_definition: bool = False) -> Type:
        """Returns the type of a schema. Objects within others become definitions of their own."""
        if not isinstance(schema, Mapping):
            return Anything()
        if isinstance(pointer := schema.get("$ref"), str):
            return self.reference(pointer)
        if "const" in schema or "enum" in schema:
            return _constants(schema["enum"] if "enum" in schema else [schema["const"]])
        if (options := _options(schema)) is not None:
            return _union([self._read(option, name=name) for option in options])
        return self._read_type(schema, name=name, as_definition=as_definition)

    def _read_type(self, schema: Mapping[str, Any], *, name: str, as_definition: bool) -> Type:
        match schema.get("type", "object" if "properties" in schema else None):
            case "object":
                return self._read_object(schema, name=name, as_definition=as_definition)
            case "array":
                return ArrayOf(self._read_items(schema, name=name))
            case str() as kind if kind in _SCALARS:
                return Scalar(cast("ScalarKind", kind))
            case _:
                return Anything()

    def _read_object(self, schema: Mapping[str, Any], *, name: str, as_definition: bool) -> Type:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return MappingOf(self._read_values(schema, name=f"{name} Value"))
        if not as_definition:
            return self.define(name, schema)
        required = schema.get("required")
        names = set(required) if isinstance(required, list) else set()
        return ObjectOf(
            tuple(
                Member(
                    str(member),
                    self._read(inner, name=f"{name} {member}"),
                    required=member in names,
                    description=_description(inner),
                )
                for member, inner in properties.items()
            )
        )

    def _read_values(self, schema: Mapping[str, Any], *, name: str) -> Type:
        patterns = schema.get("patternProperties")
        if isinstance(patterns, Mapping) and patterns:
            return _union([self._read(inner, name=name) for inner in patterns.values()])
        return self._read(schema.get("additionalProperties", True), name=name)

    def _read_items(self, schema: Mapping[str, Any], *, name: str) -> Type:
        first = schema.get("prefixItems")
        options = [*first] if isinstance(first, list) else []
        if not options or "items" in schema:
            options += [schema["items"]] if schema.get("items", True) is not False and "items" in schema else []
        return _union([self._read(option, name=f"{name} Item") for option in options]) if options else Anything()

    def _at(self, pointer: str) -> Any:
        if not pointer.startswith("#"):
            return None
        found: Any = self._document
        for segment in pointer.split("/")[1:]:
            if not isinstance(found, Mapping):
                return None
            found = found.get(_unescaped(segment))
        return found


def _options(schema: Mapping[str, Any]) -> Sequence[Any] | None:
    """Returns the schemas of which a value matches at least one, or None if there is no choice."""
    for keyword in ("anyOf", "oneOf", "allOf"):
        if isinstance(found := schema.get(keyword), list) and found:
            # What matches several schemas at once has no type in both languages.
            return found if keyword != "allOf" or len(found) == 1 else [True]
    types = schema.get("type")
    return [{**schema, "type": one} for one in types] if isinstance(types, list) and types else None


def _union(options: Sequence[Type]) -> Type:
    flat = [one for option in options for one in (option.options if isinstance(option, Union) else [option])]
    if any(isinstance(option, Anything) for option in flat):
        return Anything()
    values = [value for option in flat if isinstance(option, Constants) for value in option.values]
    # In this order and without repetitions, which a literal type would not show.
    kinds: list[Type] = [Constants(tuple(values))] if values else []
    kinds += [kind for kind in dict.fromkeys(flat) if not isinstance(kind, Constants)]
    return kinds[0] if len(kinds) == 1 else Union(tuple(kinds))


def _constants(values: Any) -> Type:
    if not isinstance(values, list) or not values:
        return Anything()
    if not all(value is None or isinstance(value, str | int) for value in values):
        return Anything()
    return _union([Scalar("null") if value is None else Constants((value,)) for value in values])


def _description(schema: Any) -> str:
    described = schema.get("description") if isinstance(schema, Mapping) else None
    return described if isinstance(described, str) else ""


def _unescaped(segment: str) -> str:
    return segment.replace("~1", "/").replace("~0", "~")
