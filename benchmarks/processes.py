"""Processes of a run: started and always stopped; CPU time and memory of process trees."""

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
    """Contestant that could not be measured, with the reason. The run continues without it."""


@dataclass(frozen=True, slots=True)
class Started:
    """Process that is ready: its port, and the seconds it took to start."""

    pid: int
    port: int
    ready_seconds: float


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    ready: str,
    within_seconds: float = 90.0,
    stop_cleanly: bool = True,
) -> Iterator[Started]:
    """Runs `command` for the length of the block, which begins when its log matches `ready` (a pattern with the port).

    After the block, the process gets time for a clean stop, or is killed.

    Raises ContestantFailed if the process ends before or is not ready in time.
    """
    began = time.perf_counter()
    process = launch(command, environment=environment, log=log)
    try:
        port = _wait_until_ready(process, log=log, ready=re.compile(ready), within_seconds=within_seconds)
        yield Started(process.pid, port, time.perf_counter() - began)
    finally:
        if not stop_cleanly:
            process.kill()
        stop(process)


def launch(command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Starts a process in a new session, with its output in `log`."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_ready(
    process: subprocess.Popen[bytes], *, log: Path, ready: re.Pattern[str], within_seconds: float
) -> int:
    until = time.perf_counter() + within_seconds
    while time.perf_counter() < until:
        if found := ready.search(log.read_text(errors="replace")):
            return int(found[1])
        if process.poll() is not None:
            raise ContestantFailed(f"{_name(process)} ended with {process.returncode}: {last_error_line(log)}")
        time.sleep(POLL_SECONDS)
    raise ContestantFailed(f"{_name(process)} was not ready within {within_seconds:g} s: {last_error_line(log)}")


def _name(process: subprocess.Popen[bytes]) -> str:
    parts = process.args if isinstance(process.args, list | tuple) else [process.args]
    return " ".join(Path(str(part)).name for part in parts[:4])


def last_error_line(log: Path) -> str:
    """Returns the last line of the log that names an error, or else the last line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if ERROR.match(line)] or lines
    return errors[-1][:300] if errors else "no output"


def stop(process: subprocess.Popen[bytes]) -> None:
    """Sends SIGTERM to the process; kills its group if it does not end."""
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
    """Returns user and system time of the process, its descendants and their ended children."""
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def resident_bytes(pid: int) -> int:
    """Returns the resident memory of the process and its descendants."""
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def machine_processor_seconds() -> float:
    """Returns the CPU time used by all processes of the machine."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


@dataclass(slots=True)
class Cores:
    """Cores used during a block (1.0: one core all the time), by process trees and by the whole machine."""

    used: dict[str, float]


@contextlib.contextmanager
def cores(**roots: int) -> Iterator[Cores]:
    """Measures these process trees and the machine while the block runs."""
    result = Cores({})
    before = {name: processor_seconds(pid) for name, pid in roots.items()}
    machine, began = machine_processor_seconds(), time.perf_counter()
    yield result
    seconds = time.perf_counter() - began
    result.used = {name: (processor_seconds(pid) - before[name]) / seconds for name, pid in roots.items()}
    result.used["machine"] = (machine_processor_seconds() - machine) / seconds
