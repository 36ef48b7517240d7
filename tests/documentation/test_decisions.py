"""The decision records: numbered without gaps, all in the index, each with the same sections."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
RECORDS = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")


def test_they_are_numbered_without_gaps() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_the_index_lists_each_with_its_title_and_status() -> None:
    rows = re.findall(
        r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+) \| (\w+) \|$", (FOLDER / "index.md").read_text(), re.MULTILINE
    )
    assert rows == [(path.name[:4], path.name, *_title_and_status(path)) for path in RECORDS]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_the_sections(path: Path) -> None:
    assert re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE) == ["Context", "Decision", "Consequences"]


def _title_and_status(path: Path) -> tuple[str, str]:
    found = re.match(r"# \d+\. (.+)\n\nStatus: (\w+)\n", path.read_text())
    assert found, f"{path.name} begins without a title and a status"
    return found[1], found[2]
