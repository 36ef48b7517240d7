"""The reader takes what JSON can carry, and names every place of what it refuses."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duly.domain.json_numbers import NumberText
from duly.domain.json_reader import JsonRefused, read_json
from duly.domain.json_writer import canonical, dump_text
from duly.errors import PathError
from tests.support.json_values import (
    ANY_TEXT,
    DEPTH,
    EXACT_NUMBERS,
    FIT_TEXT,
    holds_unfit_text,
    json_values,
    plain,
)


def refusal(body: bytes, *, max_depth: int = DEPTH) -> JsonRefused:
    with pytest.raises(JsonRefused) as caught:
        read_json(body, max_depth=max_depth)
    refused = caught.value
    assert str(refused).isprintable()
    json.dumps([error._asdict() for error in refused.errors], ensure_ascii=False).encode()
    assert all("\0" not in error.path + error.message for error in refused.errors)
    return refused


def outcome(body: bytes, *, max_depth: int = DEPTH) -> object:
    try:
        return read_json(body, max_depth=max_depth)
    except JsonRefused as refused:
        return refused


def refused_at(body: bytes) -> list[str]:
    refused = refusal(body)
    assert (refused.status, refused.code) == (422, "INVALID_JSON_VALUE")
    return [error.path for error in refused.errors]


@given(json_values(FIT_TEXT), st.booleans())
def test_what_json_can_carry_is_read_as_it_is(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert repr(plain(read_json(body, max_depth=DEPTH))) == repr(value)


@given(json_values(ANY_TEXT))
def test_a_value_is_refused_exactly_where_it_holds_text_that_cannot_be_stored(value: object) -> None:
    body = json.dumps(value).encode()
    sent = json.loads(body)  # adjacent halves of a surrogate pair are one character
    if holds_unfit_text(sent):
        assert refused_at(body)
    else:
        assert plain(read_json(body, max_depth=DEPTH)) == sent


@given(st.binary(max_size=60) | st.text('[]{}",:\\u0d8e-+.1Na ', max_size=40).map(str.encode))
@settings(max_examples=300)
def test_no_bytes_at_all_raise_anything_but_a_refusal(body: bytes) -> None:
    read = outcome(body, max_depth=4)
    if isinstance(read, JsonRefused):
        assert (read.status, read.code) in {(400, "INVALID_JSON"), (422, "INVALID_JSON_VALUE")}
    else:
        assert plain(read) == json.loads(body.decode())
        assert not holds_unfit_text(read)


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [
        (b"", 1, 1),
        (b" \r\n\t", 1, 1),
        (b"hello", 1, 1),
        (b'{"a": 1,\n "b": }', 2, 7),
        (b'{"a": 1} x', 1, 10),
        (b"{'a': 1}", 1, 2),
        (b'"raw \x00"', 1, 6),
        (b'{\n"\xc3\xa9": "\xff"}', 2, 7),
        (b'"\xed\xa0\x80"', 1, 2),
        (b"\xef\xbb\xbf{}", 1, 1),
        (b"01", 1, 2),
        (b"nan", 1, 1),
        (b'"unclosed', 1, 1),
    ],
)
def test_what_is_not_json_is_answered_with_400_and_the_place(body: bytes, line: int, column: int) -> None:
    refused = refusal(body)
    assert (refused.status, refused.code) == (400, "INVALID_JSON")
    assert f"line {line}, column {column}:" in str(refused)


def test_an_empty_body_is_called_empty() -> None:
    assert "empty" in str(refusal(b""))


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000]
)
def test_a_hundred_thousand_levels_are_refused_at_once(body: bytes) -> None:
    began = time.process_time()
    refused = refusal(body)
    assert time.process_time() - began < 1
    assert refused.status == 422
    assert "64 levels" in str(refused)


@pytest.mark.parametrize("leaf", [b"1", b"NaN", b'"\\u0000"', b"123456789012345678901234567890"])
def test_the_depth_limit_is_the_same_for_clean_and_suspicious_bodies(leaf: bytes) -> None:
    assert "levels" not in str(outcome(b"[" * 64 + leaf + b"]" * 64))
    assert "64 levels" in str(outcome(b"[" * 65 + leaf + b"]" * 65))
    assert "64 levels" in str(outcome(b'{"a":' * 65 + leaf + b"}" * 65))


def test_many_brackets_beside_each_other_or_in_text_are_not_deep() -> None:
    beside = [{"rows": [[1], [2]]} for _ in range(100)]
    assert read_json(json.dumps(beside).encode(), max_depth=4) == beside
    within = {"text": "[" * 200 + '"\\' + "{" * 200, "number": 10**30}
    assert read_json(json.dumps(within).encode(), max_depth=1) == within


def test_a_limit_beyond_what_the_interpreter_can_follow_still_answers() -> None:
    assert "levels" in str(refusal(b"[" * 100_000 + b"]" * 100_000, max_depth=200_000))


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"parameters": {"rows": [0, 1, 2, {"name": "a\\u0000b"}]}}', "parameters.rows[3].name"),
        (b'{"parameters": {"name": "\\ud800"}}', "parameters.name"),
        (b'{"parameters": {"name": "\\udc00\\ud83d"}}', "parameters.name"),
        (b'["\\ud83d\\ud83d\\ude00"]', "[0]"),
        (b'"\\u0000"', ""),
        (b'{"a": NaN}', "a"),
        (b"[[1, Infinity]]", "[0][1]"),
        (b'{"a": {"b": -Infinity}}', "a.b"),
        (b'{"a": 1e999}', "a"),
        (b"[-1e999]", "[0]"),
        (b'{"a": ' + b"9" * 4301 + b"}", "a"),
        (b'{"a": -' + b"9" * 4301 + b"}", "a"),
        (b'{"a": ' + b"9" * 400 + b".5}", "a"),
        (b'{"parameters": {"a\\u0000b": 1}}', "parameters.a\\u0000b"),
        (b'{"parameters": [{"\\ud800": 1}]}', "parameters[0].\\ud800"),
    ],
)
def test_what_no_job_can_keep_is_refused_with_its_path(body: bytes, path: str) -> None:
    assert refused_at(body) == [path]


def test_every_place_is_named_in_the_order_of_the_text_up_to_twenty() -> None:
    assert refused_at(b'{"a": NaN, "b": ["x", "\\u0000", {"c": 1e999}], "d": "\\ud800"}') == [
        "a",
        "b[1]",
        "b[2].c",
        "d",
    ]
    assert refused_at(b"[" + b"NaN," * 99 + b"1]") == [f"[{index}]" for index in range(20)]


def test_a_refusal_says_what_is_wrong() -> None:
    assert refusal(b'{"a": "\\u0000"}').errors == [PathError("a", "the text holds U+0000, which cannot be stored")]
    assert "U+D800" in str(refusal(b'{"\\ud800": 1}'))
    assert refusal(b"[-1e999]").errors == [PathError("[0]", "the number is larger than a double can hold")]
    assert refusal(b"[-Infinity]").errors == [PathError("[0]", "-Infinity is not a number in JSON")]
    assert "5000 digits" in str(refusal(b"5" * 5000))


def test_a_refusal_stays_short_whatever_was_sent() -> None:
    deep = b'{"' + b"k" * 9000 + b'":'
    assert len(str(refusal(deep * 60 + b"NaN" + b"}" * 60))) < 700
    assert refused_at(deep + b'{"name": NaN}}') == ["k" * 79 + "….name"]


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"a": 1, "a": 2}', ["a"]),
        (b'{"a":1,"a":1}', ["a"]),
        (b'{"a" : 1, "b": {"c": [{"d": 1, "d": 2}]}}', ["b.c[0].d"]),
        (b'{"a": NaN, "a": 1}', ["a"]),
        (b'{"a": 1, "\\u0061": 2}', ["a"]),
        (b'{"a:":":", "a:":"::"}', ["a:"]),
        (b'{"":1,"":2}', [""]),
        (b'[{"a":1,"a":2,"a":3,"b":1,"b":2}]', ["[0].a", "[0].b"]),
        (b'{"a":' * 30 + b'{"x":1,"x":1}' + b"}" * 30, [".".join(["a"] * 30 + ["x"])]),
        ('{"é":1,"\\u00e9":2}'.encode(), ["é"]),
    ],
)
def test_a_member_named_twice_is_refused_at_every_level(body: bytes, paths: list[str]) -> None:
    assert refused_at(body) == paths
    assert "named more than once" in str(refusal(body))


def test_the_same_name_in_different_objects_is_no_repetition() -> None:
    assert read_json(b'[{"a":1},{"a":{"a":"a:a"}}]', max_depth=DEPTH) == [{"a": 1}, {"a": {"a": "a:a"}}]


@pytest.mark.parametrize("number", EXACT_NUMBERS)
@pytest.mark.parametrize(
    "body",
    ["%s", "[%s]", '{"a":%s}', '{"a" : [ %s, 1 ]}', '{"é":"\\u00e9 1.50","n":%s}', '{"é":%s}', '{"t":"\\n","n":%s}'],
)
def test_a_number_keeps_its_text_wherever_it_stands(number: str, body: str) -> None:
    text = body % number
    written = dump_text(read_json(text.encode(), max_depth=DEPTH))
    unescaped = text.replace("\\u00e9", "é").replace(" ", "")
    assert written.replace(" ", "") == unescaped


@pytest.mark.parametrize("depth", [1, 250, 300, 512])
def test_a_number_keeps_its_text_at_any_depth(depth: int) -> None:
    body = b"[" * depth + b"0.10" + b"]" * depth
    assert dump_text(read_json(body, max_depth=512)).encode() == body


def test_a_digest_sees_each_digit_and_neither_blanks_nor_order() -> None:
    seen = {canonical(read_json(f'{{"n":{number}}}'.encode(), max_depth=DEPTH)) for number in EXACT_NUMBERS}
    assert len(seen) == len(EXACT_NUMBERS) - 1  # 0.00001 and 1e-05 have the same digits
    for number in EXACT_NUMBERS:
        alike = (f'{{"n":{number},"é":"x"}}', f' {{ "\\u00e9" : "\\u0078", "n" : {number} }}')
        assert len({canonical(read_json(body.encode(), max_depth=DEPTH)) for body in alike}) == 1, number


def test_text_that_looks_like_a_number_stays_text() -> None:
    assert read_json(b'{"n": 0.10, "t": "0.10"}', max_depth=DEPTH) == {"n": NumberText("0.10"), "t": "0.10"}
    assert canonical([NumberText("0.10")]) != canonical(["0.10"])


def test_a_pair_of_surrogates_is_one_character_and_survives() -> None:
    assert read_json(b'{"\\ud83d\\ude00": "\\uD83D\\uDE00"}', max_depth=DEPTH) == {"😀": "😀"}
    assert read_json(b'["\\ud83d\\ude00", "\\\\u0000"]', max_depth=DEPTH) == ["😀", "\\u0000"]


def test_the_text_of_an_escape_is_only_text() -> None:
    assert read_json(b'{"a": "\\\\u0000", "b": "\\\\ud800"}', max_depth=DEPTH) == {"a": "\\u0000", "b": "\\ud800"}
    assert read_json(b'["NaN", "Infinity", "1e999"]', max_depth=DEPTH) == ["NaN", "Infinity", "1e999"]


@pytest.mark.parametrize(
    "number", [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, -(10**19) + 1, 10**4299]
)
def test_integers_stay_exact(number: float) -> None:
    assert read_json(b'{"a": %d}' % number, max_depth=DEPTH) == {"a": number}
