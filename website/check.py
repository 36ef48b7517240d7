"""Checks the built site: `python -m website.check FOLDER`. Every link has a page and an anchor, and nothing is loaded
from another host.
"""

import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if values.get("rel") not in {"canonical", "alternate"}:
            self.loads += [value for name, value in values.items() if (tag, name) in _LOADS]


def problems(folder: Path) -> Iterator[str]:
    """Yields each broken link, and each file that would be loaded from another host."""
    for file in sorted(folder.rglob("*.html")):
        # The page for addresses that do not exist has links from the root of a host.
        if file != folder / "404.html":
            page = _page(file)
            for target in (*page.links, *page.loads):
                if not _found(file, target):
                    yield f"{file.relative_to(folder)}: {target}: not found"
            for target in page.loads:
                if urlsplit(target).netloc:
                    yield f"{file.relative_to(folder)}: {target}: loaded from another host"


def _found(file: Path, target: str) -> bool:
    url = urlsplit(target)
    if url.scheme or url.netloc:
        return True
    path = (file.parent / unquote(url.path)).resolve() if url.path else file
    path = path / "index.html" if path.is_dir() else path
    fragment = unquote(url.fragment)
    if not path.is_file():
        return False
    return path.suffix != ".html" or not fragment or fragment in _page(path).anchors


@cache
def _page(file: Path) -> Page:
    return Page(file)


def main() -> int:
    """Prints what is broken; returns the exit code."""
    folder = Path(sys.argv[1]).resolve()
    found = list(problems(folder))
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{folder}: {sum(1 for _ in folder.rglob('*.html'))} pages, {len(found) or 'no'} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
