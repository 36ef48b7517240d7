"""Lines of the access log: whole, bounded in size, and in the form of the other logs."""

import json
import time
from typing import Literal

import pytest

from duly.telemetry.access_log import PIECE_BYTES, AccessLine, AccessLog

LINE = AccessLine(0.0, "r-1", {"jobId": "j-1"}, None, "default", "POST", "/api/v1/jobs", 202, None, "127.0.0.1")


async def written(*lines: AccessLine, form: Literal["console", "json"] = "json") -> list[str]:
    pieces: list[str] = []
    log = AccessLog(on=True, form=form)
    log.write = lambda lines: pieces.append(lines.decode())
    for line in lines:
        log.put(line._replace(began=time.perf_counter()))
    log.flush()
    return pieces


async def test_pieces_are_small_enough_not_to_be_mixed_with_those_of_other_processes() -> None:
    pieces = await written(*[LINE] * 1_000)
    assert len(pieces) > 1
    assert all(len(piece) <= PIECE_BYTES and piece.endswith("\n") for piece in pieces)
    assert sum(piece.count("\n") for piece in pieces) == 1_000


async def test_what_a_client_chose_breaks_no_line() -> None:
    names = {"name": 'a"b\nlevel=error\x1b[31m'}
    for form in ("json", "console"):
        text = "".join(await written(LINE._replace(names=names), form=form))
        assert text.count("\n") == 1
        assert "\x1b" not in text


async def test_a_line_on_a_console_reads_like_the_others() -> None:
    [text] = await written(LINE._replace(code="NOT_FOUND", status=404), form="console")
    assert "[info     ] POST /api/v1/jobs: 404 " in text
    assert " action=access " in text
    assert " jobId=j-1" in text
    assert "keyId" not in text


async def test_an_answer_that_did_not_come_is_told() -> None:
    [text] = await written(LINE._replace(status=None))
    assert json.loads(text)["message"] == "POST /api/v1/jobs: no response"
    assert json.loads(text)["status"] is None


@pytest.mark.parametrize("on", [False])
async def test_nothing_gathers_where_it_is_off(on: bool) -> None:
    pieces: list[bytes] = []
    log = AccessLog(on=on, form="json")
    log.write = pieces.append
    log.put(LINE)
    log.shed()
    log.flush()
    assert (pieces, log._lines, log._due) == ([], [], None)
