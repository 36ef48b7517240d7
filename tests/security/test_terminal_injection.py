"""Text of clients and handlers that reaches a terminal: in console logs and in the output of commands."""

import io
import logging
import re
import unicodedata
from collections.abc import Iterator

import pytest
import structlog

from duly.cli.job_logs import log_line
from duly.cli.output import frame_line, print_fields, print_json
from duly.cli.tables import print_table
from duly.telemetry.access_log import AccessLine, AccessLog
from duly.telemetry.structured_logs import configure_logs

FORGED = "2026-01-27T10:00:00Z [info     ] forged                         action=access"
# Each attack, and the text of it.
ATTACKS = [
    ("a line break begins a line of its own", f"x\n{FORGED}"),
    ("a carriage return overwrites the line", f"x\r{FORGED}"),
    ("an escape sequence clears the screen", "x\x1b[2J\x1b[H"),
    ("an escape sequence sets the title", "x\x1b]0;title\x07"),
    ("an escape sequence without a blank", "\x1b[31mred"),
    ("a C1 control begins a sequence", "x\x9b31m"),
    ("a backspace removes what was written", "x\b\b\b\bforged"),
    ("NUL ends the text early", "x\x00forged"),
    ("a right-to-left override reverses the line", "x\u202eforged"),
    ("an isolate reorders the line", "x\u2067forged\u2069"),
    ("a line separator begins a line", f"x\u2028{FORGED}"),
    ("a next-line control begins a line", f"x\x85{FORGED}"),
]
TEXTS = pytest.mark.parametrize("text", [text for _, text in ATTACKS], ids=[name for name, _ in ATTACKS])


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Text that the logs of a service write to a console."""
    root, duly = logging.getLogger(), logging.getLogger("duly")
    before = root.handlers[:], root.level, duly.level, structlog.get_config()
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    try:
        configure_logs("console", "info")
        yield written
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        duly.setLevel(before[2])
        structlog.configure(**before[3])


def obeyed(written: str) -> list[str]:
    """Returns the characters that a terminal would obey, line feeds aside."""
    return [character for character in written if unicodedata.category(character)[0] in "CZ" and character not in " \n"]


def begun_lines(written: str) -> list[str]:
    """Returns the lines that look like the log's own."""
    return [line for line in written.splitlines() if re.match(r"\d{4}-", line)]


@TEXTS
def test_a_log_line_stays_one_line(console: io.StringIO, text: str) -> None:
    structlog.stdlib.get_logger("duly.test").warning(f"failed: {text}", action="attempt_failed", job_type=text)
    assert obeyed(console.getvalue()) == []
    assert len(console.getvalue().splitlines()) == 1


@TEXTS
def test_a_line_of_a_library_stays_one_line(console: io.StringIO, text: str) -> None:
    logging.getLogger("third.party").warning("it says %s", text)
    assert obeyed(console.getvalue()) == []
    assert len(console.getvalue().splitlines()) == 1


@TEXTS
@pytest.mark.parametrize("formatted", [False, True])
def test_an_error_s_text_begins_no_line_of_the_log(console: io.StringIO, text: str, *, formatted: bool) -> None:
    log = structlog.stdlib.get_logger("duly.test")
    if formatted:
        log.warning("failed", exception=f"ValueError: {text}")
    else:
        log.warning("failed", exc_info=ValueError(text))
    assert obeyed(console.getvalue()) == []
    assert len(begun_lines(console.getvalue())) == 1


@TEXTS
async def test_an_access_line_stays_one_line(text: str) -> None:
    written: list[bytes] = []
    log = AccessLog(on=True, form="console")
    log.write = written.append
    log.put(AccessLine(0.0, "id", {"queue": text}, None, "default", "POST", "/api/v1/queues/{queue}", 404, None, None))
    log.flush()
    assert obeyed(b"".join(written).decode()) == []
    assert len(b"".join(written).decode().splitlines()) == 1


async def test_a_name_adds_no_member_to_an_access_line() -> None:
    written: list[bytes] = []
    log = AccessLog(on=True, form="console")
    log.write = written.append
    name = "a keyId=admin status=200"
    log.put(AccessLine(0.0, "id", {"queue": name}, None, "default", "POST", "/api/v1/queues/{queue}", 404, None, None))
    log.flush()
    assert f"queue={name!r}" in b"".join(written).decode()


@TEXTS
def test_a_command_prints_no_character_that_a_terminal_obeys(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"labels": text})
    print_json({"message": text})
    print_table(("QUEUE", "DETAILS"), [(text, text)])
    line = log_line({"at": "", "attempt": 1, "level": "info", "message": text, "fields": {text: text}})
    frame = frame_line({"type": "job_progress", "progress": 1, "message": text})
    printed = f"{capsys.readouterr().out}{line}\n{frame}"
    assert obeyed(printed) == []
    assert len(printed.splitlines()) == 6
