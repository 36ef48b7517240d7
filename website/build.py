"""Prepares the documentation for the site generator: `python -m website.build FOLDER`.

Pages of `docs/` keep their places. Files elsewhere in the repository that they link to (examples, tests, the changelog)
become pages below `repository/`, so that every link works in the site as it does in the repository's file view.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, unquote, urlsplit

from website import mermaid
from website.links import Link, headings, links, prose_lines

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# Folders with what is installed or built.
_NOT_LISTED = {"__pycache__", "node_modules", "build", "dist"}
_LANGUAGES = {
    ".py": "python",
    ".js": "js",
    ".html": "html",
    ".sql": "sql",
    ".sh": "sh",
    ".toml": "toml",
    ".yml": "yaml",
}
_SCRIPT = "mermaid.min.js"
_FENCES = "  - pymdownx.superfences\n"
_FENCES_WITH_DIAGRAMS = """\
  - pymdownx.superfences:
      custom_fences:
        - name: mermaid
          class: mermaid
          format: !!python/name:pymdownx.superfences.fence_code_format
"""
_ITEM = re.compile(r"(?:[-*]|\d+\.)\s")

Entry: TypeAlias = "str | list[Entry] | dict[str, Entry]"


class Site:
    """The pages of the site, made from files of the repository. Diagrams are drawn if Mermaid's script is given."""

    def __init__(self, folder: Path, *, diagrams: Path | None = None) -> None:
        self._folder = folder
        self._diagrams = diagrams
        self._made: set[Path] = set()
        self._wanted: list[Path] = []

    def make(self) -> None:
        """Writes all pages, and the configuration with the navigation."""
        self._wanted = [file for file in DOCS.rglob("*") if file.is_file()]
        while self._wanted:
            file = self._wanted.pop()
            if file not in self._made:
                self._made.add(file)
                self._write(file)
        settings = (ROOT / "website" / "mkdocs.yml").read_text("utf-8")
        if self._diagrams:
            shutil.copyfile(self._diagrams, self._folder / "docs" / _SCRIPT)
            settings = settings.replace(_FENCES, _FENCES_WITH_DIAGRAMS)
        configuration = f"{settings}nav: {json.dumps(list(navigation()))}\n"
        (self._folder / "mkdocs.yml").write_text(configuration, "utf-8")

    def _write(self, file: Path) -> None:
        place = self._folder / "docs" / place_of(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            place.write_text(self._page(file), "utf-8")
        elif file.is_dir():
            place.write_text(self._listing(file), "utf-8")
        elif file.is_relative_to(DOCS):
            shutil.copyfile(file, place)
        else:
            place.write_text(source_page(file), "utf-8")

    def _page(self, file: Path) -> str:
        """The text of a page with its links rewritten, and anchors that equal those of the file view."""
        text = file.read_text("utf-8")
        for link in sorted(links(text), key=lambda link: link.start, reverse=True):
            text = text[: link.start] + self._target(file, link) + text[link.start + len(link.target) :]
        lines = text.splitlines()
        for heading in headings(text):
            lines[heading.line - 1] += f" {{#{heading.anchor}}}"
        starts = {number for number, _, line in prose_lines(text) if _ITEM.match(line)}
        if self._diagrams and "```mermaid\n" in text:
            up = "../" * (len(place_of(file).parts) - 1)
            lines += ["", f'<script src="{up}{_SCRIPT}"></script>']
        return "\n".join(_with_blank_lines(lines, starts)) + "\n"

    def _target(self, page: Path, link: Link) -> str:
        url = urlsplit(link.target)
        if url.scheme or url.netloc or not url.path:
            return link.target
        file = (page.parent / unquote(url.path)).resolve()
        self._wanted.append(file)
        return _relative(page, file) + (f"#{url.fragment}" if url.fragment else "")

    def _listing(self, folder: Path) -> str:
        """A page for a folder: its files, each a link."""
        found = (file for file in folder.rglob("*") if _NOT_LISTED.isdisjoint(file.relative_to(folder).parts))
        files = sorted(file for file in found if file.is_file())
        self._wanted += files
        index = folder / "README.md"
        text = self._page(index) if index in files else f"# {folder.relative_to(ROOT)}\n"
        items = (f"- [{file.relative_to(folder)}]({_relative(index, file)})" for file in files if file != index)
        return "\n".join([text, *items, ""])


def place_of(file: Path) -> Path:
    """Returns the place of a file's page below the site's documents."""
    if file.is_relative_to(DOCS):
        place = file.relative_to(DOCS)
    else:
        # The generator passes over names that begin with a dot.
        place = Path("repository", *(part.lstrip(".") for part in file.relative_to(ROOT).parts))
    if file.is_dir():
        return place / "index.md"
    if file.name == "README.md":
        return place.with_name("index.md")
    return place if file.suffix == ".md" or file.is_relative_to(DOCS) else place.with_name(f"{place.name}.md")


def source_page(file: Path) -> str:
    """Returns a page that shows a source file."""
    return f"# {file.relative_to(ROOT)}\n\n````{_LANGUAGES.get(file.suffix, 'text')}\n{file.read_text('utf-8')}````\n"


def navigation() -> Iterator[dict[str, Entry]]:
    """Yields the sections of `docs/index.md` with the pages they link to.

    Another page joins the index of its folder, or else the section of its folder's name.
    """
    sections = _sections()
    listed = {page for pages in sections.values() for page in pages.values()}
    groups: dict[str, list[Entry]] = {page: [page] for page in listed if page.endswith("/index.md")}
    for page in sorted(DOCS.rglob("*.md")):
        place, index = str(place_of(page)), str(place_of(page.parent / "index.md"))
        if place in {*listed, "index.md"}:
            continue
        if index in groups:
            groups[index].append({_title(page): place})
        else:
            folder = place.split("/", maxsplit=1)[0].replace("-", " ").capitalize()
            sections.setdefault(folder if folder in sections else "Internals", {})[_title(page)] = place
    yield {"Overview": "index.md"}
    for title, pages in sections.items():
        yield {title: [{name: _with_its_pages(place, groups)} for name, place in pages.items()]}


def _with_its_pages(place: str, groups: dict[str, list[Entry]]) -> Entry:
    pages = groups.get(place, [])
    return pages if len(pages) > 1 else place


def _sections() -> dict[str, dict[str, str]]:
    index = DOCS / "index.md"
    text = index.read_text("utf-8")
    found: dict[str, dict[str, str]] = {}
    titles = [heading for heading in headings(text) if heading.level == 2]  # noqa: PLR2004  # the level of sections
    for link in links(text):
        section = [heading.text for heading in titles if heading.line < link.line][-1]
        page = (index.parent / urlsplit(link.target).path).resolve()
        if section != titles[0].text and page.suffix == ".md":
            found.setdefault(section, {})[_title(page)] = str(place_of(page))
    return found


def _title(page: Path) -> str:
    return next(heading.text for heading in headings(page.read_text("utf-8"))).replace("`", "")


def _relative(page: Path, file: Path) -> str:
    place = place_of(file)
    return quote(os.path.relpath(place, place_of(page).parent))


def _with_blank_lines(lines: list[str], starts: set[int]) -> Iterator[str]:
    """Yields the lines with a blank one before each list: Python-Markdown needs it, the file view does not."""
    before = ""
    for number, line in enumerate(lines, 1):
        if number in starts and before.strip() and not (before.startswith(" ") or _ITEM.match(before)):
            yield ""
        yield line
        before = line


def main() -> None:
    """Prepares the folder that is named on the command line."""
    folder = Path(sys.argv[1]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    Site(folder, diagrams=mermaid.script()).make()


if __name__ == "__main__":
    main()
