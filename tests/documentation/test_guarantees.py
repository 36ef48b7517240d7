"""The page of guarantees names tests, metrics and codes that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
PROMISES, _, REST = PAGE.partition("## Not promised")
ROWS = [line for line in PROMISES.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| promise"))]
CODE = "\n".join(path.read_text() for path in (ROOT / "app" / "duly").rglob("*.py"))


@pytest.mark.parametrize("row", ROWS, ids=[row.split(" | ")[0].strip("| ")[:60] for row in ROWS])
def test_each_promise_names_a_test_that_exists(row: str) -> None:
    name = re.findall(r"`(tests/[^`]+)`", row.rstrip(" |").rpartition(" | ")[2])
    assert len(name) == 1
    path, _, function = name[0].partition("::")
    assert (ROOT / path).is_file()
    assert f"def {function or 'test_'}" in (ROOT / path).read_text()


def test_the_degraded_modes_name_metrics_and_codes_of_the_service() -> None:
    metrics = [name.removeprefix("duly_").removesuffix("_total") for name in re.findall(r"`(duly_\w+)`", REST)]
    codes = re.findall(r"`([A-Z][A-Z_]{7,})`", REST)
    assert len(metrics) > 5
    assert len(codes) > 3
    assert [name for name in [*metrics, *codes] if f'"{name}"' not in CODE] == []
