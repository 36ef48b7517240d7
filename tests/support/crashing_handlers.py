"""Handlers that end or misuse the process in which they run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from duly import Handlers, JobContext, fixed

handlers = Handlers()


class Gate(BaseModel):
    """Handler that writes its process id to `name`.begun and ends once `name`.open exists."""

    folder: Path
    name: str


@handlers.register("gated", isolation="process", retry=fixed(0), max_attempts=2)
def gated(gate: Gate) -> int:
    (gate.folder / f"{gate.name}.begun").write_text(str(os.getpid()))
    while not (gate.folder / f"{gate.name}.open").exists():
        time.sleep(0.005)
    return os.getpid()


@handlers.register("pid", isolation="process")
def pid() -> int:
    return os.getpid()


@handlers.register("ends", isolation="process", timeout=600, max_attempts=1)
def ends(parameters: dict[str, Any]) -> Any:
    match parameters["how"]:
        case "status 0":
            os._exit(0)
        case "status 7":
            os._exit(7)
        case "status 255":
            os._exit(-1)
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        case "SIGSEGV":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "SIGUSR1":
            os.kill(os.getpid(), signal.SIGUSR1)
        case "from a thread":
            threading.Thread(target=os._exit, args=(0,)).start()
            time.sleep(600)
        case "closes its files":
            os.closerange(3, 1024)
            time.sleep(600)
        case "another program":
            os.execv("/bin/true", ["true"])  # noqa: S606  # on purpose
        case "with a copy that lives on":
            if os.fork() == 0:
                time.sleep(3)
                os._exit(0)
            os._exit(0)


@handlers.register("returns", isolation="process", timeout=600, max_attempts=1)
def returns(parameters: dict[str, Any]) -> Any:  # noqa: PLR0911  # a table
    match parameters["how"]:
        case "signals ignored":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(os.getpid(), number)
            return "lives"
        case "a copy returns too":
            return "copy" if os.fork() == 0 else "own"
        case "large":
            return "x" * 1_000_000
        case "surrogate":
            return "\ud800"
        case "a program that SIGTERM ends":
            program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            program.terminate()
            return program.wait(30)
        case "object":
            return object()
        case "unpicklable error":
            raise Unpicklable(threading.Lock())
        case how:
            return how


class Unpicklable(Exception):
    def __str__(self) -> str:
        return "holds a lock"


@handlers.register("helped", isolation="process", max_attempts=1)
def helped(job: JobContext) -> None:
    """Writes the process id of a helper process that it starts, and hangs."""
    job.progress(1, str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)


@handlers.register("says-and-dies", isolation="process", max_attempts=1)
def says_and_dies(job: JobContext) -> None:
    for number in range(5):
        job.log(f"line {number}")
    os._exit(9)
