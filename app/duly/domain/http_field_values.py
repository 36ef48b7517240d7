"""Grammar of HTTP field values: lists, parameters and weights (RFC 9110, sections 5.6 and 12.4.2)."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
# An unclosed quote includes the rest of the list, which is then one malformed member.
_MEMBER: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^",])++', re.DOTALL)
_HEAD: Final = re.compile(rf"({_WORD}(?:/{_WORD})?)(?:[ \t]*=[ \t]*({_WORD}|{_QUOTED}))?")
_PARAMETER: Final = re.compile(rf"[ \t]*;[ \t]*(?:({_WORD})(?:[ \t]*=[ \t]*({_WORD}|{_QUOTED}))?)?")
_QUALITY: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_SECONDS: Final = re.compile(r"[0-9]+")
# Parsing takes 0.25 microseconds per character; usual values have a hundred characters.
LONGEST: Final = 4096
# Cap of a number of seconds, longer than any delay or age in use.
MOST_SECONDS: Final = 999_999_999


class ListMember(NamedTuple):
    """Member of a list: `name` in lower case; `value` of `name=value`, unquoted; parameters with names in lower case,
    quoted values as sent.
    """

    name: str
    value: str | None
    parameters: tuple[tuple[str, str | None], ...]


def read_members(text: str) -> Iterable[ListMember]:
    """Yields the members of a list. Malformed members are skipped; a list longer than 4 KiB has none."""
    for part in _MEMBER.findall(text) if len(text) <= LONGEST else ():
        if (member := _read_member(part.strip(" \t"))) is not None:
            yield member


def _read_member(text: str) -> ListMember | None:
    head = _HEAD.match(text)
    if head is None:
        return None
    parameters: list[tuple[str, str | None]] = []
    at = head.end()
    while (found := _PARAMETER.match(text, at)) is not None:
        at = found.end()
        if found[1] is not None:
            parameters.append((found[1].lower(), found[2]))
    if at < len(text):
        return None
    return ListMember(head[1].lower(), unquoted(head[2]) if head[2] is not None else None, tuple(parameters))


def unquoted(word: str) -> str:
    """Returns the text of a token or quoted string."""
    return re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL) if word.startswith('"') else word


def quality(weight: str | None) -> float | None:
    """Returns the value of a parameter `q`; None for one that does not follow the grammar."""
    return float(weight) if weight is not None and _QUALITY.fullmatch(weight) else None


def delay_seconds(text: str) -> int | None:
    """Returns a number of seconds, 999,999,999 at most; None for text that is not digits alone."""
    if _SECONDS.fullmatch(text) is None:
        return None
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(MOST_SECONDS)) else MOST_SECONDS
