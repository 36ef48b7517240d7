"""Checkpoints from child processes arrive in parts; of those that wait, only the newest is recorded."""

import asyncio

import pytest

from duly.handlers.checkpoint_text import CheckpointText
from duly.worker.process.checkpoints import PART, ChildCheckpoints, parts_of


class Recording:
    """Keeps the checkpoints that it gets, once its gate is open."""

    def __init__(self) -> None:
        self.kept: list[object] = []
        self.gate = asyncio.Event()

    async def checkpoint(self, value: object) -> None:
        assert isinstance(value, CheckpointText)
        await self.gate.wait()
        self.kept.append(str(value))


def hear(checkpoints: ChildCheckpoints, text: str) -> bool:
    return [checkpoints.hear(*part) for part in parts_of(text)][-1]


@pytest.mark.parametrize("length", [0, 1, PART - 1, PART, PART + 1, 3 * PART])
async def test_a_checkpoint_is_put_together_from_its_parts(length: int) -> None:
    text = "".join(chr(97 + number % 26) for number in range(length))
    parts = list(parts_of(text))
    assert [last for _, last, _ in parts] == [False] * (len(parts) - 1) + [True]
    assert all(len(part) <= PART for _, _, part in parts)
    checkpoints, recording = ChildCheckpoints(), Recording()
    recording.gate.set()
    assert hear(checkpoints, text)
    await checkpoints.keep(recording.checkpoint)
    assert recording.kept == [text]


async def test_of_several_that_wait_the_newest_is_recorded() -> None:
    checkpoints, recording = ChildCheckpoints(), Recording()
    assert hear(checkpoints, "first")
    keeping = asyncio.create_task(checkpoints.keep(recording.checkpoint))
    await asyncio.sleep(0)
    assert [hear(checkpoints, text) for text in ("second", "third", "fourth")] == [False] * 3
    recording.gate.set()
    await keeping
    assert recording.kept == ["first", "fourth"]
    assert hear(checkpoints, "fifth")


async def test_the_rest_of_a_checkpoint_whose_process_was_killed_is_passed_over() -> None:
    checkpoints, recording = ChildCheckpoints(), Recording()
    recording.gate.set()
    first, second, third = parts_of("x" * (2 * PART + 1))
    assert not checkpoints.hear(*second)
    assert not checkpoints.hear(*third)
    assert not checkpoints.hear(*first)
    assert hear(checkpoints, "whole")
    await checkpoints.keep(recording.checkpoint)
    assert recording.kept == ["whole"]
