"""Bugs that chaos runs must find: what they replace is still in the source of the service."""

import importlib.util
from pathlib import Path

import pytest

from tests.chaos.seeded_bugs import BUGS, Bug


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_bug_replaces_text_of_its_module(bug: Bug) -> None:
    spec = importlib.util.find_spec(bug.module)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).read_text().count(bug.text) == 1
