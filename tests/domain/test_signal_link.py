"""Tokens of links: what is signed is read again, and nothing else is."""

from typing import Any
from uuid import uuid4

import pytest

from duly.domain.sealing import Keyring, new_key
from duly.domain.signal_link import InvalidLink, SignalLink, read_link_token, write_link_token

KEYRING = Keyring.read(new_key("a"))
LINK = SignalLink(
    *(7, uuid4(), "approval", 1_800_000_000),
    choices=["approve", "später"],
    question="Approve invoice 42?",
    comment=True,
    recipient="ann@example.com",
)


@pytest.mark.parametrize("link", [LINK, SignalLink(1, uuid4(), "a", 0)])
def test_a_token_says_what_was_written(link: SignalLink) -> None:
    read = read_link_token(write_link_token(link, KEYRING), KEYRING)
    assert read is not None
    assert read._replace(choices=list(read.choices)) == link._replace(choices=list(link.choices))


def test_a_changed_token_is_refused() -> None:
    token = write_link_token(LINK, KEYRING)
    for index in range(len(token)):
        other = "A" if token[index] != "A" else "B"
        assert read_link_token(token[:index] + other + token[index + 1 :], KEYRING) is None
    for text in ("", "x", token[:-1], token + "A", token + "=", f" {token}", "ü" * 40, "A" * 5_000):
        assert read_link_token(text, KEYRING) is None


def test_a_token_of_another_key_is_refused_until_the_key_is_added() -> None:
    token, newer = write_link_token(LINK, KEYRING), new_key("b")
    assert read_link_token(token, Keyring.read(newer)) is None
    old = new_key("c")
    signed = write_link_token(LINK, Keyring.read(old))
    assert read_link_token(signed, Keyring.read(f"{newer},{old}")) is not None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "Approval"}, "Approval"),
        ({"choices": ["a", "a"]}, "choices"),
        ({"choices": [str(number) for number in range(11)]}, "choices"),
        ({"choices": [""]}, "choice"),
        ({"choices": ["x" * 61]}, "choice"),
        ({"question": "two\nlines"}, "question"),
        ({"question": "x" * 301}, "question"),
        ({"recipient": " "}, "recipient"),
        ({"question": "€" * 300, "choices": ["€" * 50 + str(number) for number in range(10)]}, "shorten"),
    ],
)
def test_a_link_that_cannot_be_made_says_why(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidLink, match=named):
        write_link_token(LINK._replace(**changes), KEYRING)
