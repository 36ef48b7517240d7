"""Sequences that `If-None-Match` names."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as some
from werkzeug.http import parse_etags, quote_etag

from duly.domain.entity_tags import read_sequences, tag_of, weak

OPAQUE = some.text("09az,;-*!#\x80ÿ", min_size=1, max_size=6)  # of an empty one werkzeug makes None
TAGS = some.lists(some.tuples(OPAQUE | some.integers(0, 2**31).map(str), some.booleans()), max_size=5)


@given(TAGS, some.sampled_from([",", ", ", " , ", ",,"]))
def test_a_sequence_is_named_where_werkzeug_finds_its_tag(tags: Sequence[tuple[str, bool]], separator: str) -> None:
    text = separator.join(quote_etag(tag, weak=weak) for tag, weak in tags)
    read = parse_etags(text)
    named = frozenset(int(tag) for tag in read.as_set(include_weak=True) if tag.isdecimal() and tag.isascii())
    coded = {int(tag.partition("-")[0]) for tag, _ in tags if tag.endswith("-gzip")}
    assert read_sequences(text) == named | coded


@given(some.text('W/"0179-gzip;*, \t\x00ÿ', max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert read_sequences(text) is None or all(0 <= sequence < 10**10 for sequence in read_sequences(text) or ())


@pytest.mark.parametrize("coding", ["-gzip", "--gzip", ";gzip", "-br", "-zstd", "-deflate", "-gzip-gzip", "-br--gzip"])
def test_a_tag_that_a_proxy_added_its_coding_to_names_the_same_sequence(coding: str) -> None:
    assert read_sequences(f'"7{coding}"') == read_sequences(f'W/"7{coding}"') == frozenset({7})


@pytest.mark.parametrize("text", ["", '""', '"a"', '"7-other"', '"7gzip"', '"-gzip"', '"7-"', '"99999999999"', '"7 "'])
def test_a_tag_of_something_else_names_none(text: str) -> None:
    assert read_sequences(text) == frozenset()


@pytest.mark.parametrize(
    "text", ["7", '"7', '7"', 'w/"7"', '"7" "8"', '"7", 8', '"7", *', "*, *", '"7"x', "W/7", "'7'"]
)
def test_a_field_that_does_not_follow_the_grammar_names_none(text: str) -> None:
    assert read_sequences(text) == frozenset()


def test_a_comma_in_a_tag_separates_nothing() -> None:
    assert read_sequences('"1,2", W/"3"') == frozenset({3})
    assert read_sequences('"1,"2"') == frozenset()


def test_any_is_told_apart() -> None:
    assert read_sequences("*") is read_sequences(" * ") is None


@given(some.integers(0, 2**31 - 1))
def test_the_tag_of_a_sequence_names_it_strong_or_weak(sequence: int) -> None:
    assert weak(tag_of(sequence)) == weak(weak(tag_of(sequence))) == f"W/{tag_of(sequence)}"
    assert read_sequences(tag_of(sequence)) == read_sequences(weak(tag_of(sequence))) == frozenset({sequence})
