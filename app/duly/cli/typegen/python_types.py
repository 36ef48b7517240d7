"""Writer of Python: a `TypedDict` for each object, which type checkers and pydantic read."""

import keyword
import re
from collections.abc import Sequence
from typing import assert_never

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
    Type,
    Union,
    references,
)
from duly.cli.typegen.names import one_line

_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_TYPING = ("Any", "Literal", "NotRequired", "TypeAlias")
# Before Python 3.12, pydantic accepts only this TypedDict.
_TYPING_EXTENSIONS = ("TypeAliasType", "TypedDict")
_NAMES_OF_TYPES = {*_SCALARS.values(), "list", "dict", *_TYPING, *_TYPING_EXTENSIONS}


def imports_of(source: str) -> str:
    """Returns the imports that the source needs."""
    lines = []
    for module, names in (("typing", _TYPING), ("typing_extensions", _TYPING_EXTENSIONS)):
        if used := [name for name in names if re.search(rf"\b{name}\b", source)]:
            lines.append(f"from {module} import {', '.join(used)}\n")
    return "\n".join(lines)


def python_types(definitions: Sequence[Definition]) -> str:
    """Returns the source of the definitions, which must come after those that they refer to, cycles aside."""
    # A member that has the name of a type would hide it in a class.
    names = {definition.name for definition in definitions} | _NAMES_OF_TYPES
    defined: set[str] = set()
    parts = []
    for definition in definitions:
        parts.append(_definition(definition, defined=defined, names=names))
        defined.add(definition.name)
    return "\n\n".join(parts)


def _definition(definition: Definition, *, defined: set[str], names: set[str]) -> str:
    if not isinstance(definition.type, ObjectOf):
        return _alias(definition, defined=defined)
    members = definition.type.members
    if all(_is_class_member(member.name, names=names) for member in members):
        return _class(definition, members, defined=defined)
    entries = "".join(f"        {_text(member.name)}: {_member(member, defined=defined)},\n" for member in members)
    name = definition.name
    return f"{name} = TypedDict(\n    {_text(name)},\n    {{\n{entries}    }},\n)\n"


def _class(definition: Definition, members: Sequence[Member], *, defined: set[str]) -> str:
    lines = [f"class {definition.name}(TypedDict):"]
    if description := one_line(definition.description):
        lines += [f"    {_docstring(description)}", ""]
    for member in members:
        lines.append(f"    {member.name}: {_member(member, defined=defined)}")
        if description := one_line(member.description):
            lines.append(f"    {_docstring(description)}")
    return "\n".join([*lines, ""])


def _alias(definition: Definition, *, defined: set[str]) -> str:
    name, written = definition.name, _written(definition.type, defined=defined)
    if definition.name in references(definition.type):
        return f"{name} = TypeAliasType({_text(name)}, {written})\n"
    return f"{name}: TypeAlias = {written}\n"


def _member(member: Member, *, defined: set[str]) -> str:
    written = _written(member.type, defined=defined)
    return written if member.required else f"NotRequired[{written}]"


def _written(of: Type, *, defined: set[str]) -> str:
    """Returns the type as an expression; quoted if it refers to a type that is defined later."""
    expression = _expression(of)
    return expression if defined.issuperset(references(of)) else _text(expression)


def _expression(of: Type) -> str:  # noqa: PLR0911  # one for each kind
    match of:
        case Anything():
            return "Any"
        case Scalar(kind):
            return _SCALARS[kind]
        case Constants(values):
            return f"Literal[{', '.join(_text(value) if isinstance(value, str) else str(value) for value in values)}]"
        case Union(options):
            return " | ".join(_expression(option) for option in options)
        case ArrayOf(items):
            return f"list[{_expression(items)}]"
        case MappingOf(values):
            return f"dict[str, {_expression(values)}]"
        case Reference(name):
            return name
        case ObjectOf():
            raise AssertionError("objects are definitions")
        case _:
            assert_never(of)


def _is_class_member(name: str, *, names: set[str]) -> bool:
    # Python changes names in a class that begin with two underscores.
    is_name = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return is_name and not name.startswith("__") and name not in names


def _docstring(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{escaped}{" " if escaped.endswith(chr(34)) else ""}"""'


def _text(value: str) -> str:
    quoted = ascii(value)
    return quoted if quoted.startswith('"') or '"' in quoted else f'"{quoted[1:-1]}"'
