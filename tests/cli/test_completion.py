"""Completion in real shells: of commands, options, and names of a running service."""

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Run, environment
from tests.cli.test_jobs_commands import submitted
from tests.support.node_packages import program

# Names that a shell would run, expand or split.
HOSTILE = [r"back\slash", "$(touch RAN)", "; touch RAN", "a*", "two words", "'", '"', "~", "-x"]

# Bound of a completion, which only ends a hang.
SECONDS = 120.0
# Without a completion, zsh completes files.
NONE = {"", "_files"}

BASH = """
eval "$(_DULY_COMPLETE=source_bash duly)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_duly_completion duly
printf '%s\n' "${COMPREPLY[@]}"
"""
ZSH = """
autoload -U compinit; compinit -u -D
eval "$(_DULY_COMPLETE=source_zsh duly)"
env _TYPER_COMPLETE_ARGS="$*" _DULY_COMPLETE=complete_zsh duly
"""
FISH = 'eval (env _DULY_COMPLETE=source_fish duly); complete --do-complete "$argv"'


@pytest.fixture
def shell_path(tmp_path: Path) -> str:
    """A search path with the `duly` of this environment."""
    script = tmp_path / "bin" / "duly"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m duly "$@"\n')
    script.chmod(0o755)
    return f"{script.parent}:{os.environ['PATH']}"


def completed(words: list[str], *, path: str, url: str, any_expected: bool = True) -> list[str]:
    """Completions of the last word in bash."""
    shown = shown_by(["bash", "--norc", "-c", BASH, "bash", *words], any_expected=any_expected, PATH=path, DULY_URL=url)
    return shown.split("\n")[:-1]


def shown_by(command: list[str], *, any_expected: bool = True, **settings: str) -> str:
    """Runs the completion of a shell; again while it is empty, since a service that is slow completes nothing."""
    deadline = time.monotonic() + SECONDS
    while True:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment(**settings), timeout=SECONDS, check=True
        )
        assert done.stderr == ""
        if done.stdout.strip() not in NONE or not any_expected or time.monotonic() > deadline:
            return done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["duly", "que"], ["queues"]),
        (["duly", "queues", "pau"], ["pause"]),
        (["duly", "list", "--created-b"], ["--created-before"]),
        (["duly", "list", "--status", "c"], ["completed", "cancelled"]),
        (["duly", "submit", "ech"], ["echo"]),
        (["duly", "queues", "pause", "def"], ["default"]),
    ],
)
def test_bash_completes_commands_options_and_names(
    shell_path: str, url: str, words: list[str], expected: list[str]
) -> None:
    assert completed(words, path=shell_path, url=url) == expected


def test_the_ids_of_jobs_are_completed(duly: Run, shell_path: str, url: str) -> None:
    job_id = submitted(duly, "echo", "--delay", "3600")
    assert completed(["duly", "why", job_id[:30]], path=shell_path, url=url) == [job_id]


def test_without_a_service_nothing_is_completed_and_nothing_is_said(shell_path: str) -> None:
    assert completed(
        ["duly", "queues", "pause", ""], path=shell_path, url="http://127.0.0.1:1", any_expected=False
    ) == [""]


def test_names_that_a_shell_would_run_are_left_out(shell_path: str) -> None:
    """The service refuses such names; another program at its address need not."""
    listed = json.dumps({"items": [{"queue": name} for name in [*HOSTILE, "plain-1.x"]], "nextCursor": None})

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(listed.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            assert completed(["duly", "list", "--queue", ""], path=shell_path, url=url) == ["plain-1.x"]
        finally:
            server.shutdown()
            thread.join()


def test_a_tab_on_a_terminal_completes_the_line(shell_path: str, url: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        settings = environment(DULY_URL=url, PATH=shell_path, PS1="prompt> ", TERM="dumb", HISTFILE="")
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], settings)  # noqa: S606  # a shell is tested
    try:
        type_on(terminal, b'eval "$(_DULY_COMPLETE=source_bash duly)"; echo sour""ced\n', until=b"sourced")
        type_on(terminal, b"duly que\t", until=b"duly queues")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def type_on(terminal: int, text: bytes, *, until: bytes) -> None:
    """Types on a terminal and reads what it shows until the text."""
    os.write(terminal, text)
    shown, deadline = b"", time.monotonic() + 60
    while until not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65_536)


def test_zsh_completes_names_with_the_installed_script(shell_path: str, url: str) -> None:
    zsh = program("zsh", "zsh is not on this machine: apt-get install zsh")
    command = [zsh, "-f", "-c", f"PATH={shell_path}\n{ZSH}", "zsh", "duly", "queues", "pause", "def"]
    assert shown_by(command, DULY_URL=url, PATH=shell_path).strip() == "_arguments '*: :((\"default\"))'"


def test_fish_completes_names_with_the_installed_script(shell_path: str, url: str, tmp_path: Path) -> None:
    fish = program("fish", "fish is not on this machine: apt-get install fish")
    command = [fish, "--no-config", "-c", FISH, "duly queues pause def"]
    assert shown_by(command, DULY_URL=url, PATH=shell_path, HOME=str(tmp_path)).split() == ["default"]
