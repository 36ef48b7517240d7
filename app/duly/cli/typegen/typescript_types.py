"""Writer of TypeScript: an `interface` for each object."""

import json
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
)
from duly.cli.typegen.names import one_line

_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def typescript_types(definitions: Sequence[Definition]) -> str:
    """Returns the source of the definitions."""
    return "\n".join(_definition(definition) for definition in definitions)


def member_name(name: str) -> str:
    """Returns the name of a member, quoted unless it is an identifier."""
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name)


def _definition(definition: Definition) -> str:
    comment = _comment(definition.description, indent="")
    if not isinstance(definition.type, ObjectOf):
        return f"{comment}export type {definition.name} = {_expression(definition.type)};\n"
    members = "".join(_member(member) for member in definition.type.members)
    return f"{comment}export interface {definition.name} {{\n{members}}}\n"


def _member(member: Member) -> str:
    mark = "" if member.required else "?"
    return (
        f"{_comment(member.description, indent='  ')}  {member_name(member.name)}{mark}: {_expression(member.type)};\n"
    )


def _comment(description: str, *, indent: str) -> str:
    # The last line is empty, because the compiler reads its directives there.
    text = one_line(description).replace("*/", "* /")
    return f"{indent}/**\n{indent} * {text}\n{indent} */\n" if text else ""


def _expression(of: Type) -> str:  # noqa: PLR0911  # one for each kind
    match of:
        case Anything():
            return "unknown"
        case Scalar(kind):
            return _SCALARS[kind]
        case Constants(values):
            return " | ".join(json.dumps(value) for value in values)
        case Union(options):
            return " | ".join(_expression(option) for option in options)
        case ArrayOf(items):
            return f"({_expression(items)})[]" if isinstance(items, Union | Constants) else f"{_expression(items)}[]"
        case MappingOf(values):
            return f"{{ [name: string]: {_expression(values)} }}"
        case Reference(name):
            return name
        case ObjectOf():
            raise AssertionError("objects are definitions")
        case _:
            assert_never(of)
