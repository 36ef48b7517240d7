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
    """Stops the process whenever it has used more than its share of the time of a core. On a busy machine, it gets its
    share later.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_starve, args=(pid, share, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        os.kill(pid, signal.SIGCONT)


def _starve(pid: int, share: float, ended: threading.Event) -> None:
    portion = share * PERIOD_SECONDS  # the most that it may save up
    left, looked_at, used = portion, time.monotonic(), _processor_seconds(pid)
    while not ended.is_set():
        os.kill(pid, signal.SIGCONT)
        while left > 0 and not ended.is_set():
            time.sleep(LOOK_SECONDS)
            now, total = time.monotonic(), _processor_seconds(pid)
            left = min(portion, left + share * (now - looked_at) - (total - used))
            looked_at, used = now, total
        os.kill(pid, signal.SIGSTOP)
        ended.wait((portion - left) / share)
        left, looked_at, used = portion, time.monotonic(), _processor_seconds(pid)


def _processor_seconds(pid: int) -> float:
    """Returns the run time of the main thread of the process, from the kernel's scheduler."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
