"""Cleaned text and JSON can always be stored."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.json_cleaning import clean, clean_json_text, clean_text, truncate_text
from duly.domain.json_reader import read_json
from duly.domain.json_writer import dump_text
from tests.support.json_values import ANY_TEXT, DEPTH, holds_unfit_text, json_values, plain


@given(ANY_TEXT)
def test_clean_text_can_always_be_stored(text: str) -> None:
    cleaned = clean_text(text)
    assert not holds_unfit_text(cleaned)
    assert cleaned.encode().decode() == cleaned
    assert len(cleaned) == len(text)
    assert cleaned == text or holds_unfit_text(text)


@given(json_values(ANY_TEXT))
def test_a_clean_value_can_always_be_stored(value: object) -> None:
    cleaned = clean(value)
    assert not holds_unfit_text(cleaned)
    assert plain(read_json(dump_text(cleaned).encode(), max_depth=DEPTH)) == cleaned
    assert cleaned == value or holds_unfit_text(value)


@given(json_values(ANY_TEXT), st.booleans())
def test_clean_json_text_can_always_be_read_and_stored(value: object, ascii_only: bool) -> None:
    json_text = json.dumps(value, ensure_ascii=ascii_only)
    cleaned = clean_json_text(json_text)
    read = json.loads(cleaned)  # names that became alike are named twice
    assert not holds_unfit_text(read)
    if not holds_unfit_text(value):
        assert repr(read) == repr(value)


@pytest.mark.parametrize(
    ("json_text", "cleaned"),
    [
        (r'{"a": "x\u0000y"}', '{"a": "x\ufffdy"}'),
        (r'{"\uD800": 1}', '{"\ufffd": 1}'),
        (r'"\ud83d\ude00"', r'"\ud83d\ude00"'),
        (r'"\ud83d\ud83d\ude00"', '"\ufffd\\ud83d\\ude00"'),
        (r'"\\u0000 \\\u0000"', '"\\\\u0000 \\\\\ufffd"'),
        (r'"\u00e9\n\""', r'"\u00e9\n\""'),
        ('"\ud800"', '"\ufffd"'),
    ],
)
def test_only_what_cannot_be_stored_is_replaced_in_json_text(json_text: str, cleaned: str) -> None:
    assert clean_json_text(json_text) == cleaned


def test_clean_json_text_without_escapes_is_the_same_object() -> None:
    json_text = '{"a": "b"}'
    assert clean_json_text(json_text) is json_text


def test_names_that_become_alike_keep_the_later_value() -> None:
    assert clean({"\0": 1, "b": 2, "\ud800": 3}) == {"\ufffd": 3, "b": 2}
    assert json.loads(clean_json_text(r'{"\u0000": 1, "\ud800": 3}')) == {"\ufffd": 3}


def test_cleaning_leaves_alone_what_is_no_text() -> None:
    value = {"n": math.inf, 5: (True, None, 2**70)}
    assert clean(value) == {"n": math.inf, 5: [True, None, 2**70]}


def test_cleaning_ends_where_a_value_holds_itself() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="too deep"):
        clean(endless)
    assert clean([[[1]]], max_depth=3) == [[[1]]]
    with pytest.raises(ValueError, match="too deep"):
        clean([[[1]]], max_depth=2)


@given(st.text(max_size=100), st.integers(0, 120))
def test_truncated_text_keeps_its_limit_and_its_beginning(text: str, limit: int) -> None:
    cut = truncate_text(text, limit)
    assert len(cut) <= limit or cut == text
    assert (cut == text) == (len(text) <= limit)


def test_truncated_text_says_how_long_it_was() -> None:
    assert truncate_text("x" * 12_345, 40) == "x" * 12 + "… [12,345 characters in all]"
