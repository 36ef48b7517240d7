"""Machine and versions of a run, and its load before the run."""

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

import psutil

PACKAGES = ("duly", "fastapi", "starlette", "uvicorn", "uvloop", "httptools", "asyncpg", "pydantic", "httpx", "orjson")
QUIET_CORES = 0.25
QUIET_TRIES = 15


def describe() -> dict[str, str]:
    memory = psutil.virtual_memory().total / 2**30
    return {
        "revision": revision(),
        "processor": f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def revision() -> str:
    """Returns the measured commit, with "-dirty" if the tree was changed; "unknown" outside of a clone."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def wait_until_quiet() -> float:
    """Waits up to 15 s for a second with little load; returns the number of busy cores in the last second."""
    busy = 0.0
    for _ in range(QUIET_TRIES):
        busy = psutil.cpu_percent(interval=1) / 100 * (os.cpu_count() or 1)
        if busy < QUIET_CORES:
            break
    return round(busy, 2)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
