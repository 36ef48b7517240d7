"""Types that both languages can express: the part of JSON Schema that describes shapes, not values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

ScalarKind: TypeAlias = Literal["string", "integer", "number", "boolean", "null"]


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """JSON value without members."""

    kind: ScalarKind


@dataclass(frozen=True, slots=True)
class Constants:
    """One of several values, at least one."""

    values: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types, at least one."""

    options: "tuple[Type, ...]"


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """Array whose items have one type."""

    items: "Type"


@dataclass(frozen=True, slots=True)
class MappingOf:
    """Object with any member names, whose values have one type."""

    values: "Type"


@dataclass(frozen=True, slots=True)
class Reference:
    """Type that is defined under a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """Member of an object."""

    name: str
    type: "Type"
    required: bool
    description: str = ""


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """Object with known members."""

    members: tuple[Member, ...]


Type: TypeAlias = Anything | Scalar | Constants | Union | ArrayOf | MappingOf | Reference | ObjectOf


@dataclass(frozen=True, slots=True)
class Definition:
    """Named type. Objects with known members occur only as definitions."""

    name: str
    type: Type
    description: str = ""


def references(of: Type) -> Iterator[str]:
    """Yields the names that a type refers to."""
    match of:
        case Reference(name):
            yield name
        case Union(options):
            for option in options:
                yield from references(option)
        case ArrayOf(inner) | MappingOf(inner):
            yield from references(inner)
        case ObjectOf(members):
            for member in members:
                yield from references(member.type)
        case _:
            return
