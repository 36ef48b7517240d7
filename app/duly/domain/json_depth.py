"""Depth of a JSON value."""

from itertools import chain
from typing import Any

_CONTAINERS = (dict, list)  # a union of them would be made for each value, which takes longer than looking at it


def depth_of(value: object) -> int:
    """Returns the number of levels of arrays and objects: 0 for a text, 1 for an empty array."""
    depth = 0
    level: list[Any] = [value] if isinstance(value, _CONTAINERS) else []
    while level:
        depth += 1
        level = inner_containers(level)
    return depth


def inner_containers(level: list[Any]) -> list[Any]:
    """Returns the arrays and objects directly inside of these."""
    inner = chain.from_iterable([item.values() if isinstance(item, dict) else item for item in level])
    return [child for child in inner if isinstance(child, _CONTAINERS)]
