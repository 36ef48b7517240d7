"""Field values by the grammar of RFC 9110, compared with how a published library reads them."""

import string
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as some
from werkzeug.http import parse_list_header

from duly.domain.http_field_values import LONGEST, ListMember, delay_seconds, quality, read_members, unquoted

TOKEN = some.text("!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits, min_size=1, max_size=6)
QUOTED = some.text('a ,;="\\\t', max_size=6)
WORD = TOKEN | QUOTED
SPACE = some.sampled_from(["", " ", "\t", "  "])


def written(word: str, *, quoted: bool) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' if quoted or not word else word


@some.composite
def members(draw: some.DrawFn) -> tuple[str, ListMember]:
    """A member as it may be written, and what it says."""
    name, value = draw(TOKEN), draw(some.none() | WORD)
    text = name
    if value is not None:
        text += draw(SPACE) + "=" + draw(SPACE) + written(value, quoted=not _is_token(value) or draw(some.booleans()))
    parameters = []
    for parameter, word in draw(some.lists(some.tuples(TOKEN, WORD), max_size=3)):
        sent = written(word, quoted=not _is_token(word) or draw(some.booleans()))
        text += draw(SPACE) + ";" + draw(SPACE) + draw(some.sampled_from(["", "; "])) + f"{parameter}={sent}"
        parameters.append((parameter.lower(), sent))
    return text, ListMember(name.lower(), value, tuple(parameters))


def _is_token(word: str) -> bool:
    return bool(word) and set(word) <= set("!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits)


@given(some.lists(members(), max_size=4), some.sampled_from([",", ", ", " ,", ",,", " , ,\t"]))
def test_a_list_is_read_as_it_was_written(written_members: Sequence[tuple[str, ListMember]], separator: str) -> None:
    text = separator.join(text for text, _ in written_members)
    assert list(read_members(text)) == [member for _, member in written_members]


@given(some.lists(some.tuples(TOKEN, WORD), max_size=4))
def test_a_list_is_read_as_werkzeug_reads_it(pairs: Sequence[tuple[str, str]]) -> None:
    texts = [written(word, quoted=True) for _, word in pairs]
    text = ", ".join(f"{name}={word}" for (name, _), word in zip(pairs, texts, strict=True))
    assert [f"{member.name}={written(member.value or '', quoted=True)}" for member in read_members(text)] == [
        part.partition("=")[0].lower() + "=" + part.partition("=")[2] for part in parse_list_header(text)
    ]


@given(some.text('ab=;," \\/\t\x00é', max_size=40))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for member in read_members(text):
        assert member.name


@pytest.mark.parametrize(
    "text", ["", ",", " , ,", "a b", "a=", "=a", "a; b c", 'a="b', 'a"b"', "a=b=c", "a/b/c", "é", "a;=b", '"a"', "(a)"]
)
def test_what_does_not_follow_the_grammar_is_left_out(text: str) -> None:
    assert list(read_members(text)) == []
    assert [member.name for member in read_members(f"first, {text}")] == ["first"]


@pytest.mark.parametrize(
    "text", ["a;" * 40_000, '"' * 60_000, 'a="' + "\\" * 60_000, '"a,' * 20_000, "a," * 30_000, " " * 60_000]
)
def test_a_list_beyond_4_kib_is_not_read(text: str) -> None:
    began = time.process_time()
    assert list(read_members(text)) == []
    assert list(read_members(text[:LONGEST])) is not None
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("weight", "value"), [("0", 0), ("0.", 0), ("0.5", 0.5), ("0.001", 0.001), ("1", 1), ("1.", 1), ("1.000", 1)]
)
def test_a_weight_is_read(weight: str, value: float) -> None:
    assert quality(weight) == value


@pytest.mark.parametrize("weight", [None, "", "2", "1.1", "0.1234", "-1", ".5", "00", "1e-1", '"1"', "٣", "0,5"])
def test_a_weight_that_is_none_is_not(weight: str | None) -> None:
    assert quality(weight) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("0", 0), ("7", 7), ("007", 7), ("0000000004", 4), ("0" * 5000, 0), ("0" * 5000 + "5", 5)],
        *[
            ("999999998", 999_999_998),
            ("999999999", 999_999_999),
            ("1000000000", 999_999_999),
            ("9" * 5000, 999_999_999),
        ],
        *[
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 2", None),
            (" 1", None),
            ("٣", None),
            ("1\n", None),
        ],
    ],
)
def test_seconds_are_digits_however_many(text: str, seconds: int | None) -> None:
    assert delay_seconds(text) == seconds


def test_a_quoted_text_loses_its_quotes_and_backslashes() -> None:
    assert [unquoted(word) for word in ("a", '"a"', r'"a\"b\\"', '""')] == ["a", "a", r'a"b' + "\\", ""]
