"""Process limited to a share of one core, independent of the load of the machine."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PERIOD_SECONDS = 0.1
LOOK_SECONDS = 0.002


@contextmanager
def starved(pid: int, *, share: float) -> Iterator[None]:
    """Lets the process run for its share of each tenth of a second of CPU time, and stops it for the rest."""
    ended = threading.Event()
    thread = threading.Thread(target=_starve, args=(pid, share * PERIOD_SECONDS, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        os.kill(pid, signal.SIGCONT)


def _starve(pid: int, portion: float, ended: threading.Event) -> None:
    while not ended.is_set():
        began, used = time.monotonic(), _processor_seconds(pid)
        os.kill(pid, signal.SIGCONT)
        # On a busy machine, the process gets its share later; an idle process needs none.
        while _processor_seconds(pid) - used < portion and time.monotonic() - began < PERIOD_SECONDS:
            time.sleep(LOOK_SECONDS)
        os.kill(pid, signal.SIGSTOP)
        ended.wait(PERIOD_SECONDS - portion)


def _processor_seconds(pid: int) -> float:
    """Returns the run time of the main thread of the process, from the kernel's scheduler."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
