from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.check_links import ROOT, markdown_files, problems
from website import build, check
from website.build import Entry, Site, navigation, place_of
from website.links import headings, links

PAGE = """# Page `code` & more

[a](#page-code--more) `[not](a-link)` ![image](picture.png "Title") [`b`](other.md#x_(y))

```sh
# no heading, [no link](at-all)
```

## Twice

## Twice

[c]: definition.md
<img src="tag.png">
"""


def test_links_are_found_outside_of_code() -> None:
    targets = [link.target for link in links(PAGE)]
    assert targets == ["#page-code--more", "picture.png", "other.md#x_(y)", "definition.md", "tag.png"]
    assert all(PAGE[link.start :].startswith(link.target) for link in links(PAGE))


def test_anchors_are_those_of_a_file_view() -> None:
    assert [heading.anchor for heading in headings(PAGE)] == ["page-code--more", "twice", "twice-1"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "part").mkdir(parents=True)
    (tmp_path / "docs" / "index.md").write_text("# Index\n\n[Page](part/page.md)\n")
    (tmp_path / "docs" / "part" / "page.md").write_text("# Page\n")
    return tmp_path


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("gone.md", "no such file"),
        ("page.md#gone", "no heading with this anchor"),
        ("../../../out.md", "outside of the repository"),
        ("/docs/part/page.md", "not relative to this file"),
        ("ftp://example.com", "scheme is not http, https or mailto"),
        ("https://", "no host name"),
        ("", "not relative to this file"),
    ],
)
def test_a_broken_link_is_named_with_its_place(repository: Path, target: str, reason: str) -> None:
    (repository / "README.md").write_text("# Read\n")
    (repository / "docs" / "part" / "page.md").write_text(f"# Page\n\n[good](../../README.md#read) [bad]({target})\n")
    assert list(problems(repository)) == [f"docs/part/page.md:3: {target}: {reason}"]


def test_a_page_without_a_link_from_an_index_is_named(repository: Path) -> None:
    (repository / "docs" / "part" / "lost.md").write_text("# Lost\n")
    assert list(problems(repository)) == ["docs/part/lost.md: not linked from docs/index.md"]
    (repository / "docs" / "part" / "README.md").write_text("# Part\n\n[Lost](lost.md)\n")
    assert list(problems(repository)) == ["docs/part/README.md: not linked from docs/index.md"]


def test_the_navigation_has_every_page_once() -> None:
    listed = [page for entry in navigation() for page in _pages(entry)]
    assert sorted(listed) == sorted(str(place_of(page)) for page in markdown_files(ROOT / "docs"))


def _pages(entry: Entry) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for item in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages(item)


def test_diagrams_are_drawn_by_a_script_of_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs"
    (docs / "part").mkdir(parents=True)
    (docs / "index.md").write_text("# Index\n\n## Begin\n\n## Part\n\n[Diagram](part/diagram.md)\n")
    (docs / "part" / "diagram.md").write_text("# Diagram\n\n```mermaid\nerDiagram\n```\n")
    (tmp_path / "script.js").write_text("drawn")
    monkeypatch.setattr(build, "DOCS", docs)
    Site(tmp_path / "site", diagrams=tmp_path / "script.js").make()
    page = (tmp_path / "site" / "docs" / "part" / "diagram.md").read_text("utf-8")
    assert '<script src="../mermaid.min.js"></script>' in page
    assert (tmp_path / "site" / "docs" / "mermaid.min.js").read_text("utf-8") == "drawn"
    assert "name: mermaid" in (tmp_path / "site" / "mkdocs.yml").read_text("utf-8")


def test_a_link_to_a_file_outside_of_the_documentation_leads_to_its_page_in_the_site(tmp_path: Path) -> None:
    Site(tmp_path).make()
    page = (tmp_path / "docs" / "follow" / "progress-bar.md").read_text("utf-8")
    assert "(../repository/examples/progress-bar/index.md)" in page
    listing = (tmp_path / "docs" / "repository" / "examples" / "progress-bar" / "index.md").read_text("utf-8")
    assert "(backend.py.md)" in listing
    source = (tmp_path / "docs" / "repository" / "examples" / "progress-bar" / "backend.py.md").read_text("utf-8")
    assert (ROOT / "examples" / "progress-bar" / "backend.py").read_text("utf-8") in source


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="other.html#there">', None),
        ('<a href="https://example.com/">', None),
        ('<a href="other.html#gone">', "index.html: other.html#gone: not found"),
        ('<img src="gone.png">', "index.html: gone.png: not found"),
        (
            '<script src="https://cdn.example.com/a.js">',
            "index.html: https://cdn.example.com/a.js: loaded from another host",
        ),
    ],
)
def test_a_built_page_that_needs_what_is_not_there_is_named(tmp_path: Path, body: str, problem: str | None) -> None:
    (tmp_path / "index.html").write_text(body)
    (tmp_path / "other.html").write_text('<h2 id="there">')
    assert list(check.problems(tmp_path)) == ([problem] if problem else [])
