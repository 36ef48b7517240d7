"""Looks at something at even intervals, in a thread of its own, while a load runs."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.processes import resident_bytes

Look = Callable[[], dict[str, float]]
MEGABYTE = 1e6


@dataclass(slots=True)
class Samples:
    """What was seen: `at` by the wall clock, and a list of as many values for each name."""

    at: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    failure: BaseException | None = None

    def add(self, at: float, seen: dict[str, float]) -> None:
        self.at.append(at)
        for name, value in seen.items():
            self.values.setdefault(name, []).append(value)


@contextlib.contextmanager
def sampled(look: Look, *, every_seconds: float = 1.0) -> Iterator[Samples]:
    """Calls `look` again and again while the block runs, and at least once. What it raises is raised at the end."""
    samples, over = Samples(), threading.Event()

    def watch() -> None:
        try:
            while True:
                samples.add(time.time(), look())
                if over.wait(every_seconds):
                    return
        except Exception as error:  # noqa: BLE001  # handed to the thread that waits for this one
            samples.failure = error

    thread = threading.Thread(target=watch, name="samples", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join(timeout=30)
    if samples.failure is not None:
        raise samples.failure


def memory_of(pid: int) -> Look:
    """Resident memory of a process tree, in MB."""
    return lambda: {"resident_mb": resident_bytes(pid) / MEGABYTE}
