"""`duly top` on a terminal and without one, against a real service."""

import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from typing import Any

import pytest

from duly.cli.terminal_client import TerminalClient
from duly.cli.top import _read
from duly.cli.top_frame import Frame, Outage, frame_text
from duly.cli.watch import text_console
from tests.cli.conftest import COMMAND, Run, environment, interruptible
from tests.cli.test_jobs_commands import error_of, submitted

ALTERNATE_SCREEN, MAIN_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


class OnATerminal:
    """`duly top` on a pseudo-terminal, which had these settings before."""

    def __init__(self, ours: int, process: "subprocess.Popen[bytes]", settings: list[Any]) -> None:
        self.ours = ours
        self.process = process
        self.settings = settings
        self.shown = b""

    def show(self, text: bytes) -> None:
        """Reads what is drawn until it contains the text."""
        while text not in self.shown:
            self.shown += os.read(self.ours, 65_536)

    def rest(self) -> bytes:
        """Returns what is drawn until the command ends."""
        rest = b""
        while True:
            try:
                piece = os.read(self.ours, 65_536)
            except OSError:  # the end of a terminal on Linux
                return rest
            if not piece:
                return rest
            rest += piece


@contextmanager
def on_a_terminal(url: str, *, width: int = 100, **settings: str) -> Iterator[OnATerminal]:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
    before = termios.tcgetattr(ours)
    with interruptible():
        process = subprocess.Popen(
            [*COMMAND, "top", "--interval", "0.2"],
            env=environment(
                DULY_URL=url, TERM="xterm", COLUMNS=str(width), **settings
            ),  # workers of tests set it to 80
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    os.close(theirs)
    try:
        yield OnATerminal(ours, process, before)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_one_frame_shows_queues_and_running_jobs(duly: Run) -> None:
    job_id = submitted(duly, "sleep", "--param", "seconds=60", "--queue", "topped")
    frame = json.loads(duly("top", "--once", "--json").stdout)
    assert {queue["queue"] for queue in frame["queues"]} >= {"default"}
    assert [node["state"] for node in frame["nodes"]] == ["ready"]
    text = duly("top", "--once")
    assert (text.returncode, text.stderr) == (0, "")
    assert "in/s" in text.stdout.splitlines()[0] and "\x1b" not in text.stdout
    assert "1 node, " in text.stdout and "QUEUE" in text.stdout and "RUNNING" in text.stdout
    assert duly("cancel", job_id).returncode == 0


def test_without_a_service_one_frame_is_an_error_in_one_line(duly: Run) -> None:
    assert "no service at" in error_of(duly("top", "--once", DULY_URL="http://127.0.0.1:1"), 1)
    assert "no service at" in error_of(duly("top", DULY_URL="http://127.0.0.1:1"), 1)


def test_a_service_that_goes_away_is_told_above_the_last_frame() -> None:
    with TerminalClient("http://127.0.0.1:1") as client:
        outage = _read(client)
    assert isinstance(outage, Outage) and outage.line.endswith("; trying again")
    text = frame_text(Frame("http://one", [], None, [], more_jobs=False), text_console(), outage=outage).plain
    assert text.splitlines()[1].startswith("no service at http://127.0.0.1:1")


@pytest.mark.parametrize("leave", [b"q", b"\x04", signal.SIGINT], ids=["q", "Ctrl-D", "Ctrl-C"])
def test_frames_are_drawn_until_a_key_leaves_the_terminal_as_it_was(url: str, leave: "bytes | signal.Signals") -> None:
    with on_a_terminal(url) as top:
        top.show(b"READY")
        assert ALTERNATE_SCREEN in top.shown
        if isinstance(leave, bytes):
            os.write(top.ours, leave)
        else:
            top.process.send_signal(leave)
        end = top.rest()
        assert (top.process.wait(120), MAIN_SCREEN in end) == (0, True)
        assert b"Traceback" not in top.shown + end
        assert termios.tcgetattr(top.ours)[3] == top.settings[3]


def test_a_frame_fits_a_narrow_terminal_and_has_no_colour_without_colours(duly: Run, url: str) -> None:
    submitted(duly, "echo", "--queue", "a-queue-with-a-name-that-is-much-wider-than-the-terminal", "--delay", "3600")
    with on_a_terminal(url, width=40, NO_COLOR="1") as top:
        top.show(b"a-queue-with")
        os.write(top.ours, b"q")
        shown = top.shown + top.rest()
    assert "…".encode() in shown and b"much-wider-than-the-terminal" not in shown
    assert b"\x1b[3" not in shown.replace(b"\x1b[39m", b"")


def test_frames_follow_each_other_without_a_terminal_until_ctrl_c(url: str) -> None:
    command = [*COMMAND, "top", "--json", "--interval", "0.1"]
    with (
        interruptible(),
        subprocess.Popen(
            command, env=environment(DULY_URL=url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as top,
    ):
        assert top.stdout is not None
        frames = [json.loads(top.stdout.readline()) for _ in range(2)]
        top.send_signal(signal.SIGINT)
        _, errors = top.communicate(timeout=120)
    assert [set(frame) for frame in frames] == [{"url", "queues", "nodes", "running"}] * 2
    assert (top.returncode, errors) == (0, "")
