"""Written JSON is compact, reads as the same value, and carries stored JSON as it is."""

import json
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.json_reader import read_json
from duly.domain.json_writer import dump_text, write_json
from tests.support.json_values import DEPTH, FIT_TEXT, json_values, plain


@given(json_values(FIT_TEXT))
def test_what_was_read_is_written_so_that_it_reads_the_same(value: object) -> None:
    text = dump_text(value)
    assert repr(plain(read_json(text.encode(), max_depth=DEPTH))) == repr(value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**400), 10**400))
def test_numbers_come_back_exactly(number: float) -> None:
    again = json.loads(dump_text([number]))[0]
    assert (type(again), repr(again)) == (type(number), repr(number))


def test_written_text_is_compact_and_not_escaped() -> None:
    assert dump_text({"a": [1, "é😀"]}) == '{"a":[1,"é😀"]}'
    assert dump_text({"a": [2**70, "é😀"]}) == f'{{"a":[{2**70},"é😀"]}}'


def test_the_deepest_value_that_is_read_can_be_written() -> None:
    body = b"[" * 512 + b"]" * 512
    assert dump_text(read_json(body, max_depth=512)).encode() == body


def test_answers_carry_moments_ids_and_stored_json() -> None:
    moment = datetime(2026, 1, 27, 10, tzinfo=UTC)
    written = write_json({"at": moment, "id": UUID(int=7), "result": orjson.Fragment('{"n": 1e3}'), "name": "é"})
    at_and_id = '{"at":"2026-01-27T10:00:00.000Z","id":"00000000-0000-0000-0000-000000000007",'
    assert written.decode() == at_and_id + '"result":{"n": 1e3},"name":"é"}'


def test_answers_keep_long_integers_and_never_fail_over_text() -> None:
    answer = {"at": datetime(2026, 1, 27, 10, tzinfo=UTC), "id": UUID(int=7), "n": 2**70}
    assert json.loads(write_json(answer)) == {"at": "2026-01-27T10:00:00.000Z", "id": str(UUID(int=7)), "n": 2**70}
    assert write_json({"a": "\ud800"}) == '{"a":"\ufffd"}'.encode()


def test_what_is_no_json_is_not_written() -> None:
    with pytest.raises(TypeError, match="object is not a JSON value"):
        write_json({"a": object()})
