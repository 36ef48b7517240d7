"""Starts the processes of a run and stops every one of them, whatever happens; sums what a process tree used."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_SECONDS = 10.0
POLL_SECONDS = 0.005
ERROR = re.compile(r"[\w.]+(Error|Exception): ")
ROOT = Path(__file__).parent.parent


class ContestantFailed(Exception):
    """A contestant could not be measured; the text says why. The run goes on without it."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process that said it is ready: after how many seconds, and on which port."""

    pid: int
    port: int
    ready_seconds: float


@contextlib.contextmanager
def started(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, ready: str, within_seconds: float = 30.0
) -> Iterator[Started]:
    """Runs `command` for the length of the block; begins when `ready` (a pattern with the port) stands in its log.

    Raises ContestantFailed when the process ends before, or is not ready in time.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        port = _wait_until_ready(process, log=log, ready=re.compile(ready), within_seconds=within_seconds)
        yield Started(process.pid, port, time.perf_counter() - began)
    finally:
        stop(process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], *, log: Path, ready: re.Pattern[str], within_seconds: float
) -> int:
    until = time.perf_counter() + within_seconds
    while time.perf_counter() < until:
        if found := ready.search(log.read_text(errors="replace")):
            return int(found[1])
        if process.poll() is not None:
            raise ContestantFailed(f"{_name(process)} ended with {process.returncode}: {telling_line(log)}")
        time.sleep(POLL_SECONDS)
    raise ContestantFailed(f"{_name(process)} was not ready within {within_seconds:g} s: {telling_line(log)}")


def _name(process: subprocess.Popen[bytes]) -> str:
    parts = process.args if isinstance(process.args, list | tuple) else [process.args]
    return " ".join(Path(str(part)).name for part in parts[:4])


def telling_line(log: Path) -> str:
    """The last line of the log that names an error, else the last of all."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if ERROR.match(line)] or lines
    return telling[-1][:300] if telling else "it printed nothing"


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the process to end; kills its group where it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def processor_seconds(pid: int) -> float:
    """User and system time of the process, its descendants and their ended children."""
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants."""
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def machine_processor_seconds() -> float:
    """What all processes of the machine used, ours and others'."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


@dataclass(slots=True)
class Cores:
    """Cores used over a block, 1.0 is one core all the time: by process trees, and by the whole machine."""

    used: dict[str, float]


@contextlib.contextmanager
def cores(**roots: int) -> Iterator[Cores]:
    """Measures the trees under these processes, and the machine, while the block runs."""
    result = Cores({})
    before = {name: processor_seconds(pid) for name, pid in roots.items()}
    machine, began = machine_processor_seconds(), time.perf_counter()
    yield result
    seconds = time.perf_counter() - began
    result.used = {name: (processor_seconds(pid) - before[name]) / seconds for name, pid in roots.items()}
    result.used["machine"] = (machine_processor_seconds() - machine) / seconds
