"""Faults of a parsed JSON value: parts that cannot be stored, each with its path."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from duly.errors import PathError

MAX_PATH_LENGTH = 500
MAX_NAME_LENGTH = 80

UNFIT = re.compile(r"[\x00\ud800-\udfff]")


class Misfit(NamedTuple):
    """Placeholder in a parsed value for a number that JSON or Python does not have, or for a duplicate member."""

    message: str


def faults(value: object) -> Iterator[PathError]:
    """Yields the parts of a parsed value that cannot be stored, in the order of the text."""
    path: list[str | int] = [""]
    open_containers: list[Iterator[tuple[str | int, object]]] = [iter([("", value)])]
    while open_containers:
        for name, node in open_containers[-1]:
            path[-1] = name
            if isinstance(name, str) and UNFIT.search(name):
                yield PathError(write_path(path[1:]), f"the name holds {_unfit(name)}, which cannot be stored")
            if message := _fault(node):
                yield PathError(write_path(path[1:]), message)
            if isinstance(node, (dict, list)) and node:
                open_containers.append(iter(node.items() if isinstance(node, dict) else enumerate(node)))
                path.append("")
                break
        else:
            open_containers.pop()
            path.pop()


def _fault(node: object) -> str | None:
    if isinstance(node, str):
        return f"the text holds {_unfit(node)}, which cannot be stored" if UNFIT.search(node) else None
    if isinstance(node, float):
        return None if math.isfinite(node) else "the number is larger than a double can hold"
    return node.message if isinstance(node, Misfit) else None


def write_path(path: Sequence[str | int]) -> str:
    """Returns a path such as `parameters.rows[3].name`, shortened, and without control characters."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{_safe(_shorten(step, MAX_NAME_LENGTH))}" for step in path)
    return _shorten("".join(steps).removeprefix("."), MAX_PATH_LENGTH)


def _unfit(text: str) -> str:
    character = next(UNFIT.finditer(text))[0]
    return "U+0000" if character == "\0" else f"the lone surrogate U+{ord(character):04X}"


def _safe(text: str) -> str:
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
