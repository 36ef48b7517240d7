"""Values sampled at regular intervals in a separate thread while a load runs."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.processes import resident_bytes

Probe = Callable[[], dict[str, float]]
MEGABYTE = 1e6


@dataclass(slots=True)
class Samples:
    """Samples: their wall-clock times `at`, and a list of values of the same length for each name."""

    at: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    failure: BaseException | None = None

    def add(self, at: float, seen: dict[str, float]) -> None:
        self.at.append(at)
        for name, value in seen.items():
            self.values.setdefault(name, []).append(value)


@contextlib.contextmanager
def sampled(probe: Probe, *, every_seconds: float = 1.0) -> Iterator[Samples]:
    """Calls `probe` repeatedly while the block runs, and at least once. Its error is raised at the end."""
    samples, over = Samples(), threading.Event()

    def watch() -> None:
        try:
            while True:
                samples.add(time.time(), probe())
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


def memory_of(pid: int) -> Probe:
    """Returns a probe of the resident memory of a process tree, in MB."""
    return lambda: {"resident_mb": resident_bytes(pid) / MEGABYTE}
