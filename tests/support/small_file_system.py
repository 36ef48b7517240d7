"""File systems of their own for tests of full disks: a tmpfs, which needs root and the right to mount."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TRIES = 1_000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def mounted_tmpfs(folder: Path, *, size: str) -> Iterator[bool]:
    """Mounts a tmpfs on an empty folder during the block. Yields whether that was permitted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, *, size: str) -> None:
    _remount(folder, lambda: size)


def shrink(folder: Path) -> None:
    """Takes all free space of the tmpfs, without using memory."""

    def used() -> str:
        found = os.statvfs(folder)
        return str((found.f_blocks - found.f_bfree) * PAGE_BYTES)

    _remount(folder, used)


def _remount(folder: Path, size: Callable[[], str]) -> None:
    """Changes the size. Tries again if files have grown beyond it, or other mounts have changed, since it was read."""
    for _ in range(TRIES):
        command = ["mount", "-o", f"remount,size={size()}", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode == 0:
            return
    raise AssertionError(f"{folder} cannot be resized: {done.stderr.decode()}")
