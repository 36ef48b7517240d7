"""A checkpoint is any JSON value within limits; handlers that use checkpoints can be tested without a service."""

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from duly import HandlerError
from duly.handlers.checkpoint_text import CheckpointText, write_checkpoint
from duly.testing import run_handler
from tests.support.log_and_checkpoint_handlers import handlers


class Place(BaseModel):
    day: date
    row: int


def write(value: object, *, limit: int = 1_000, max_depth: int = 5) -> str:
    return write_checkpoint(value, limit=limit, max_depth=max_depth)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ({"a": [1, 2.5, True], "é": "😀"}, '{"a":[1,2.5,true],"é":"😀"}'),
        (Place(day=date(2024, 1, 31), row=7), '{"day":"2024-01-31","row":7}'),
        ([date(2024, 1, 31)], '["2024-01-31"]'),
        (10**30, "1" + "0" * 30),
        ({"a\x00": "\x00\ud800"}, '{"a\ufffd":"\ufffd\ufffd"}'),
        (CheckpointText('{"written": 1}'), '{"written": 1}'),
    ],
)
def test_a_value_is_written_as_a_result_is(value: object, text: str) -> None:
    assert write(value) == text


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], object(), {"a": b"\xff"}])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(HandlerError, match="the checkpoint cannot be serialized as JSON: "):
        write(value)


def test_a_checkpoint_has_a_size_in_bytes_and_a_depth() -> None:
    assert write("é" * 49, limit=100)
    with pytest.raises(HandlerError, match=r"the checkpoint is too large \(102 bytes of JSON, limit 100\)"):
        write("é" * 50, limit=100)
    assert write([[[[["deep"]]]]])
    with pytest.raises(HandlerError, match="the checkpoint cannot be serialized as JSON: nested too deep"):
        write([[[[[["deeper"]]]]]])


@pytest.mark.parametrize("type_", ["count", "count-thread", "count-process"])
async def test_a_test_sees_the_checkpoints_and_may_restore_one(type_: str) -> None:
    first = await run_handler(handlers, type_, {"steps": 4, "breaks": [2]})
    assert first.retried
    assert first.checkpoints == [{"done": 1}, {"done": 2}]
    second = await run_handler(handlers, type_, {"steps": 4, "breaks": [2]}, attempt=2, restored=first.checkpoints[-1])
    assert second.result == [3, 4]
    assert second.checkpoints == [{"done": 3}, {"done": 4}]


async def test_a_test_hears_of_a_checkpoint_that_is_refused() -> None:
    run: Any = await run_handler(handlers, "leave-oddly", {"value": "nan"})
    assert run.error["message"].startswith("HandlerError: the checkpoint cannot be serialized as JSON")
