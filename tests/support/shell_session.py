"""A bash that runs the commands of a page one after the other, like a reader's terminal."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.command_line_clients import CURL
from tests.support.node_packages import program

SECONDS: Final = 200.0
JQ: Final = "jq is not on this machine: apt-get install jq"
# Records status and exit code of each request. A stream that does not end is left a second after its head has come.
_CURL: Final = """#!/bin/bash
log=$(mktemp "$CURL_LOG/XXXXXXXX")
stream=
for argument in "$@"; do case $argument in -N|-sN|--no-buffer) stream=1;; esac; done
if [ -z "$stream" ]; then
    {curl} --noproxy '*' --dump-header "$log.head" "$@"
    code=$?
else
    {curl} --noproxy '*' --dump-header "$log.head" --max-time 60 "$@" &
    curl=$!
    until [ -s "$log.head" ] || ! kill -0 $curl 2>/dev/null; do sleep 0.05; done
    for _ in {{1..20}}; do kill -0 $curl 2>/dev/null && sleep 0.05; done
    kill $curl 2>/dev/null && left=1
    wait $curl
    code=$?
    if [ -n "$left" ]; then code=0; fi
fi
printf '%s' "$*" >"$log"
exit "$code"
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One call of curl: its arguments, and the status of the response; 0 without one."""

    arguments: str
    status: int


@dataclass(frozen=True, slots=True)
class Ran:
    """Exit code, output and requests of commands; `failed_line` is the line of the command that failed, from 1."""

    code: int
    out: str
    err: str
    requests: tuple[Request, ...]
    failed_line: int | None = None

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- output\n{self.out}--- errors\n{self.err}"


@dataclass
class Shell:
    """A running bash. Variables, aliases and functions stay from one call to the next."""

    process: Process
    folder: Path
    files: Path
    _calls: int = field(default=0)

    async def run(self, commands: str, *, seconds: float = SECONDS) -> Ran:
        """Runs commands to their end. A command that fails ends the shell.

        Raises:
            TimeoutError: they have not ended in time.
        """
        self._calls += 1
        script = self.files / f"{self._calls}.sh"
        out, err = script.with_suffix(".out"), script.with_suffix(".err")
        script.write_text(commands)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f". {script} >{out} 2>{err} </dev/null; echo $?\n".encode())
        async with asyncio.timeout(seconds):
            line = await self.process.stdout.readline()
            code = int(line) if line.strip() else await self.process.wait()
        failed = self.files / "failed"
        line_number = int(failed.read_text()) if failed.exists() else None
        return Ran(code, out.read_text(), err.read_text(), self._requests(), line_number)

    async def variables(self) -> dict[str, str]:
        """Returns the exported variables."""
        ran = await self.run("env -0")
        return dict(pair.split("=", 1) for pair in ran.out.split("\0") if "=" in pair)

    def _requests(self) -> tuple[Request, ...]:
        found = []
        log = self.files / "curl"
        for file in sorted(log.iterdir(), key=lambda path: path.stat().st_mtime_ns):
            if file.suffix == ".head":
                continue
            head = file.with_suffix(".head")
            statuses = [line for line in head.read_text().splitlines() if line.startswith("HTTP/")]
            found.append(Request(file.read_text(), int(statuses[-1].split()[1]) if statuses else 0))
            file.unlink()
            head.unlink()
        return tuple(found)


@asynccontextmanager
async def running_shell(folder: Path, files: Path, variables: Mapping[str, str]) -> AsyncIterator[Shell]:
    """Starts bash in a folder, with `duly`, `python3` and `pytest` of this environment and a curl that records.

    Args:
        folder: where the commands run.
        files: an empty folder for what the session itself writes.
        variables: of the environment, besides the usual ones; none of Duly's is inherited.
    """
    environment = environment_for(files, variables)
    process = await asyncio.create_subprocess_exec(
        *("bash", "--noprofile", "--norc"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    shell = Shell(process, folder, files)
    try:
        await shell.run(f"shopt -s expand_aliases; trap 'echo $LINENO >{files}/failed' ERR; set -e")
        yield shell
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # commands in the background too
        await process.wait()


def environment_for(files: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a reader's terminal; its PATH begins with the programs of this environment."""
    programs, log = files / "bin", files / "curl"
    programs.mkdir(parents=True)
    log.mkdir()
    stub = programs / "curl"
    stub.write_text(_CURL.format(curl=program("curl", CURL)))
    stub.chmod(0o755)
    program("jq", JQ)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DULY_", "PYTEST_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles every library
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), kept.get("PATH", "")])
    # A service without a secret of its own writes one to its data folder: not to that of this machine.
    own = {"PATH": path, "CURL_LOG": str(log), "LC_ALL": "C.UTF-8", "DULY_DATA_DIR": str(files / "data")}
    return {**kept, **own, **variables}
