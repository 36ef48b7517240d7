"""Program that `forked_commands` starts: it imports the service once and forks a `python -m duly` for each order.

Importing takes a second or two on a slow machine, forking a few milliseconds. An order is a line of JSON on standard
input. On standard output the program reports the start and the exit code of each child.
"""

import gc
import json
import os
import random
import select
import signal
import sys
from typing import Any

gc.set_threshold(50_000, 20, 50)  # imports make objects that stay, and nothing to collect

# A command imports these only when it needs them: AnyIO's backend, and the modules of `duly serve`.
import anyio._backends._asyncio  # noqa: E402, F401

import duly.__main__  # noqa: E402
import duly.cli.serve  # noqa: E402
import duly.cli.server_process  # noqa: E402
import duly.cli.supervisor  # noqa: E402
import duly.handlers.builtin  # noqa: E402


class Forking:
    """Loop of the parent process. `run` returns in each child with its order."""

    def __init__(self) -> None:
        self._woken, waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waking, False)
        self._waking = waking
        self._read = b""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking)

    def run(self) -> dict[str, Any]:
        """Serves orders until standard input ends."""
        while True:
            readable, _, _ = select.select([0, self._woken], [], [])
            if self._woken in readable:
                self._bury()
            if 0 in readable:
                if not (piece := os.read(0, 65_536)):
                    sys.exit(0)
                *orders, self._read = (self._read + piece).split(b"\n")
                for order in orders:
                    if os.fork() == 0:
                        self._forget()
                        return dict(json.loads(order))
                    # The child reports its own process id, because it may end before the parent continues.

    def _bury(self) -> None:
        os.read(self._woken, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})

    def _forget(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._woken)
        os.close(self._waking)


def tell(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def become(order: dict[str, Any]) -> None:
    """Applies an order to this process, as if it had been started with it."""
    tell({"started": os.getpid()})
    os.setsid()
    opened = (
        os.open(order["stdin"], os.O_RDONLY),
        # With O_APPEND, since both may be one file.
        os.open(order["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644),
        os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644),
    )
    for number, descriptor in enumerate(opened):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [str(duly.__main__.__file__), *order["arguments"]]
    # Processes of `multiprocessing` import the main module from there.
    sys.modules["__main__"] = duly.__main__
    random.seed()


if __name__ == "__main__":
    duly.__main__.application()  # imports the modules of the commands
    gc.collect()
    gc.freeze()
    become(Forking().run())
    duly.__main__.main()
