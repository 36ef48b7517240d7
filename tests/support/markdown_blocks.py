"""The fenced blocks of README.md and docs/, with the markers above them.

A marker is an HTML comment above a block, which renderers hide:

    <!-- not-run: needs Docker -->                     the block is not run, for this reason; it is only parsed
    <!-- run-by: tests/webhooks/test_snippets.py -->   another test runs it
    <!-- shown-output: an example -->                  it is run, and its output may differ from what is shown
    <!-- setup                                         commands that run before it, in its language
    JOB_ID=...
    -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).parents[2]
_MARKER: Final = re.compile(r"<!--\s*(not-run|run-by|shown-output|setup)\b:?(.*?)-->\s*", re.DOTALL)
_TITLE: Final = re.compile(r'\btitle="([^"]+)"')
# A first line such as `# shop/jobs.py`.
_FILE_COMMENT: Final = re.compile(r"^(?:#|//|<\?php //) (\S+\.\w+)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `line` is that of its first line of text, from 1."""

    page: str
    line: int
    info: str
    text: str
    not_run: str | None = None
    run_by: str | None = None
    shown_output: str | None = None
    setup: str = ""
    follows_block: bool = False

    @property
    def language(self) -> str:
        return self.info.split(maxsplit=1)[0] if self.info.strip() else ""

    @property
    def runs(self) -> bool:
        """True if no marker excludes the block."""
        return self.not_run is None and self.run_by is None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def title(self) -> str | None:
        """The file that the block shows: `title="..."` after the language, or a comment in the first line."""
        if found := _TITLE.search(self.info):
            return found[1]
        found = _FILE_COMMENT.match(self.text.split("\n", 1)[0])
        return found[1] if found else None

    def __str__(self) -> str:
        return self.place


class MarkerError(ValueError):
    """A marker without a reason, or without a block."""


def pages() -> list[str]:
    """Returns README.md and every page of docs/, relative to the repository."""
    return ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]


@cache
def blocks(page: str) -> tuple[Block, ...]:
    return tuple(read_blocks((ROOT / page).read_text(), page))


def read_blocks(text: str, page: str, *, offset: int = 0) -> Iterator[Block]:
    """Yields the fenced blocks of a page, in order; those in the indented content of tabs and notes too.

    Args:
        text: the page, or a part of it.
        page: its name.
        offset: the number of lines before the part.

    Raises:
        MarkerError: a marker has no reason or no block below it.
    """
    markers: dict[str, str] = {}
    at = 0
    after_block = False
    for token in MarkdownIt().parse(text):
        if token.type == "code_block":
            yield from read_blocks(token.content, page, offset=offset + _line(token) - 1)
        elif token.type == "html_block":
            markers |= _markers(token, page)
            at = offset + _line(token)
        elif token.type == "fence":
            yield Block(
                page,
                offset + _line(token) + 1,
                token.info.strip(),
                token.content,
                not_run=markers.get("not-run"),
                run_by=markers.get("run-by"),
                shown_output=markers.get("shown-output"),
                setup=markers.get("setup", ""),
                follows_block=after_block,
            )
            markers = {}
        elif markers:
            raise MarkerError(f"{page}:{at}: there is no block below the marker {' and '.join(markers)}")
        after_block = token.type in {"fence", "html_block"} and (after_block or token.type == "fence")
    if markers:
        raise MarkerError(f"{page}:{at}: there is no block below the marker {' and '.join(markers)}")


def _markers(token: Token, page: str) -> dict[str, str]:
    found = {kind: content.strip() for kind, content in _MARKER.findall(token.content)}
    for kind, content in found.items():
        if not content:
            raise MarkerError(f"{page}:{_line(token)}: the marker {kind} says nothing: <!-- {kind}: ... -->")
    return found


def _line(token: Token) -> int:
    return (token.map or [0])[0] + 1
