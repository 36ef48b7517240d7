"""Names of queues and job types remain distinguishable in URLs."""

import re

import pytest

from duly.domain.names import NAME_PATTERN, ends_as_address

TAKEN = [
    "a",
    "A.b_c:d-e",
    "a/b",
    "a/.b",
    "a/..b",
    "a/...",
    "a/b.",
    "a..b",
    "a.",
    "limits",
    "pause",
    "a/limits/b",
    "a/limit",
]
NOT_TAKEN = [
    "",
    ".",
    "..",
    "a/",
    "/a",
    "a//b",
    "a/.",
    "a/..",
    "a/./b",
    "a/../b",
    "-a",
    "a b",
    "a%2Fb",
    "a?b",
    "a#b",
    "ä",
    "a\n",
]


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_an_address_keeps_apart_is_taken(name: str) -> None:
    assert re.fullmatch(NAME_PATTERN, name)
    assert not ends_as_address(name)


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_a_name_that_an_address_would_change_is_not_taken(name: str) -> None:
    assert not re.fullmatch(NAME_PATTERN, name)


@pytest.mark.parametrize("name", ["a/limits", "a/b/pause", "a/resume"])
def test_a_name_that_ends_as_an_address_below_another_is_found_out(name: str) -> None:
    assert ends_as_address(name)
