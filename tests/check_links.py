"""Checks the links of all Markdown files; run by `make check`.

Links to files and headings are followed, links to other hosts are checked by syntax only. Every page of `docs/` has to
be linked from `docs/index.md`, or from the index of its folder: the site takes its navigation from there.
"""

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from website.links import headings, links

ROOT = Path(__file__).parent.parent
_NOT_OURS = {"node_modules", "build", "dist", "demo-output", "__pycache__"}
_INDEXES = ("index.md", "README.md")


def markdown_files(root: Path) -> Iterator[Path]:
    """Yields the Markdown files of the repository."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS and not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".md"))


def problems(root: Path) -> Iterator[str]:
    """Yields each broken link and each page that no index links to."""
    for page in markdown_files(root):
        for link in links(page.read_text("utf-8")):
            if reason := _fault(root, page, link.target):
                yield f"{page.relative_to(root)}:{link.line}: {link.target}: {reason}"
    yield from _unlisted(root / "docs")


def _fault(root: Path, page: Path, target: str) -> str | None:
    try:
        url = urlsplit(target)
    except ValueError as error:
        return str(error)
    if url.scheme or url.netloc:
        return _fault_outside(url.scheme, url.netloc)
    if not target or url.path.startswith("/"):
        return "not relative to this file"
    return _fault_inside(root, (page.parent / unquote(url.path)).resolve() if url.path else page, unquote(url.fragment))


def _fault_inside(root: Path, file: Path, anchor: str) -> str | None:
    if not file.is_relative_to(root):
        return "outside of the repository"
    if not file.exists():
        return "no such file"
    if anchor and file.suffix == ".md" and anchor not in _anchors(file):
        return "no heading with this anchor"
    return None


def _fault_outside(scheme: str, host: str) -> str | None:
    if scheme == "mailto":
        return None
    if scheme not in {"http", "https"}:
        return "scheme is not http, https or mailto"
    return None if "." in host else "no host name"


@cache
def _anchors(page: Path) -> frozenset[str]:
    return frozenset(heading.anchor for heading in headings(page.read_text("utf-8")))


def _unlisted(docs: Path) -> Iterator[str]:
    main = _linked_from(docs / "index.md")
    for page in markdown_files(docs):
        nearest = (_linked_from(page.parent / name) for name in _INDEXES)
        if page != docs / "index.md" and page not in main and not any(page in listed for listed in nearest):
            yield f"{page.relative_to(docs.parent)}: not linked from docs/index.md"


def _linked_from(index: Path) -> frozenset[Path]:
    if not index.is_file():
        return frozenset()
    targets = (urlsplit(link.target) for link in links(index.read_text("utf-8")))
    return frozenset((index.parent / url.path).resolve() for url in targets if url.path and not url.netloc)


def main() -> int:
    """Prints what is broken; returns the exit code."""
    found = list(problems(ROOT))
    for problem in found:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{sum(1 for _ in markdown_files(ROOT))} Markdown files: {len(found) or 'no'} broken links\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
