"""Links and headings of Markdown, for the link check and the site."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_FENCE = re.compile(r"^\s*(?P<fence>`{3,}|~{3,})")
_INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LINK = re.compile(r"\]\(\s*<?(?P<target>[^()\s>]*(?:\([^()\s]*\)[^()\s>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(?P<target>[^\s>]+)")
_TAG = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=\"(?P<target>[^\"]*)\"")
_HEADING = re.compile(r"^(?P<marks>#{1,6})\s+(?P<text>.+?)\s*#*$")
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*`]|<[^>]*>")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


class Link(NamedTuple):
    """A link's target and its position in the text."""

    line: int
    start: int
    target: str


class Heading(NamedTuple):
    """A heading and the anchor that a repository's file view gives it."""

    line: int
    level: int
    text: str
    anchor: str


def prose_lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Yields number, offset and text of each line outside fenced code, with inline code blanked."""
    fence, offset = "", 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        marker = _FENCE.match(line)
        if fence:
            closes = marker and marker["fence"].startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if closes else fence
        elif marker:
            fence = marker["fence"]
        else:
            yield number, offset, _INLINE_CODE.sub(lambda code: " " * len(code[0]), line)
        offset += len(line)


def links(text: str) -> Iterator[Link]:
    """Yields the links and images of a page."""
    for number, offset, line in prose_lines(text):
        for pattern in (_LINK, _DEFINITION, _TAG):
            for match in pattern.finditer(line):
                yield Link(number, offset + match.start("target"), match["target"])


def headings(text: str) -> Iterator[Heading]:
    """Yields the headings of a page; a repeated anchor gets a number, as in a repository's file view."""
    lines, seen = text.splitlines(), dict[str, int]()
    for number, _, _ in prose_lines(text):
        if match := _HEADING.match(lines[number - 1]):
            anchor = _anchor(match["text"])
            count = seen[anchor] = seen.get(anchor, -1) + 1
            yield Heading(number, len(match["marks"]), match["text"], f"{anchor}-{count}" if count else anchor)


def _anchor(heading: str) -> str:
    text = _MARKUP.sub(r"\1", heading).strip().lower()
    return _NOT_IN_ANCHOR.sub("", text).replace(" ", "-")
