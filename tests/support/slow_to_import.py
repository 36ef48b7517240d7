"""Module whose import fails at first, and in a child process takes longer than the timeout of its handler."""

import multiprocessing
import os
import time
from pathlib import Path

from duly import Handlers

handlers = Handlers()

if multiprocessing.parent_process() is not None:
    time.sleep(3.2)
    if (missing := os.environ.get("TEST_MISSING")) and not Path(missing).exists():
        raise RuntimeError("not installed yet")


@handlers.register("slowly-imported", isolation="process", timeout=3, max_attempts=1)
def quick() -> int:
    return os.getpid()
