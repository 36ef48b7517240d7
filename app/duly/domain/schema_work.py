"""Bound on the work of validating a value by a JSON Schema.

`$ref`, `allOf` and `anyOf` can double the visits of subschemas from level to level, so that a schema of one kilobyte
takes hours. The bound is computed from the schema alone: the most visits on one way from the top of a value to a part
of it, by the depth of that part.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from duly.domain.schema_subschemas import (
    ANY_ITEM,
    ANY_MEMBER,
    Part,
    SchemaRefused,
    Subschema,
    read_subschemas,
)

# Visits of subschemas for one value without parts; and subschemas that may apply one inside of the other.
MOST_VISITS = 20_000
MOST_NESTED = 64
# A match of a pattern takes up to 1 µs a character, a visit 15 ns.
PATTERN_VISITS = 50
_BEYOND = 10**15

Ways = Mapping[Part, Mapping[int, int]]


class _Expanded(NamedTuple):
    """A subschema with all that apply to the same value: their visits, and what they apply to its parts, how often."""

    visits: int
    nested: int
    ways: Ways


class SchemaWork:
    """Visits that a schema makes.

    Raises:
        SchemaRefused: the schema never ends or takes too many visits, or `read_subschemas` refuses it.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        subschemas = read_subschemas(schema)
        self._root = id(schema)
        self._expanded = _expand(subschemas)
        self._level = {node: expanded.visits for node, expanded in self._expanded.items()}
        self._by_depth = [self._level[self._root]]
        self._settled = False

    def visits(self, depth: int) -> int:
        """Returns the most visits on the way to a part at this depth of a value; 0 is the value itself."""
        while not self._settled and len(self._by_depth) <= depth:
            self._deepen()
        return self._by_depth[min(depth, len(self._by_depth) - 1)]

    def _deepen(self) -> None:
        before = self._level
        self._level = {
            node: min(expanded.visits + _most(expanded.ways, before), _BEYOND)
            for node, expanded in self._expanded.items()
        }
        self._settled = self._level == before
        self._by_depth.append(self._level[self._root])


def _most(ways: Ways, visits: Mapping[int, int]) -> int:
    """Returns the visits for the part of a value that takes the most."""
    by_part = {part: sum(visits[node] * times for node, times in nodes.items()) for part, nodes in ways.items()}
    anywhere = {"member": by_part.get(ANY_MEMBER, 0), "item": by_part.get(ANY_ITEM, 0)}
    return max(
        (
            work + (anywhere.get(part[0], 0) if part not in {ANY_MEMBER, ANY_ITEM} else 0)
            for part, work in by_part.items()
        ),
        default=0,
    )


def _expand(subschemas: Mapping[int, Subschema]) -> dict[int, _Expanded]:
    """Returns each subschema with those that apply to the same value, which come before it."""
    expanded: dict[int, _Expanded] = {}
    begun: set[int] = set()
    left = list(subschemas)
    while left:
        node = left[-1]
        waiting = [other for other in subschemas[node].same if other in subschemas and other not in expanded]
        if node in expanded or not waiting:
            left.pop()
            if node not in expanded:
                expanded[node] = _joined(subschemas[node], subschemas, expanded)
            continue
        if node in begun:
            raise SchemaRefused(subschemas[node].path, "refers to itself for the same value, without an end")
        begun.add(node)
        left += waiting
    return expanded


def _joined(subschema: Subschema, subschemas: Mapping[int, Subschema], expanded: Mapping[int, _Expanded]) -> _Expanded:
    visits, nested = _own_visits(subschema.members), 1
    ways: dict[Part, Counter[int]] = {}
    for part, node in subschema.parts:
        if node in subschemas:
            ways.setdefault(part, Counter())[node] += 1
    for other in (expanded[node] for node in subschema.same if node in subschemas):
        visits += other.visits
        nested = max(nested, 1 + other.nested)
        for part, nodes in other.ways.items():
            ways.setdefault(part, Counter()).update(nodes)
    if visits > MOST_VISITS or nested > MOST_NESTED:
        raise SchemaRefused(subschema.path, "takes too many steps for one value; use fewer references and alternatives")
    return _Expanded(visits, nested, ways)


def _own_visits(members: Mapping[str, Any]) -> int:
    """Returns the visits that stand for the keywords of one subschema."""
    lists = ("required", "properties", "dependentRequired")
    own = 1 + len(members) + sum(len(members[word]) for word in lists if isinstance(members.get(word), list | dict))
    own += PATTERN_VISITS * ("pattern" in members)
    if isinstance(patterns := members.get("patternProperties"), dict):
        own += PATTERN_VISITS * len(patterns)
    if isinstance(options := members.get("enum"), list) and any(isinstance(each, dict | list) for each in options):
        own += len(options)
    return own
