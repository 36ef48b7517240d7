"""The threat model of `SECURITY.md` names tests that exist, and the tests of attacks are named there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.partition("## Threat model")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| asset"))
]


def named_in(row: list[str]) -> list[str]:
    return re.findall(r"`(tests/[^`]+)`", row[-1])


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}: {row[1]}" for row in ROWS])
def test_each_threat_has_a_remedy_and_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 5
    assert all(row)
    assert named_in(row)
    for name in named_in(row):
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert f"def {function or 'test_'}" in (ROOT / path).read_text(), name


def test_every_test_of_attacks_shows_the_remedy_of_a_threat() -> None:
    named = {name for row in ROWS for name in named_in(row)}
    there = {f"tests/security/{path.name}" for path in (ROOT / "tests" / "security").glob("test_*.py")}
    assert there <= named
