"""File systems of their own for tests of full disks: a tmpfs, which needs root and the right to mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True, capture_output=True)


def shrink(folder: Path) -> None:
    """Takes all free space of the tmpfs, without using memory."""
    found = os.statvfs(folder)
    resize(folder, size=str((found.f_blocks - found.f_bfree) * PAGE_BYTES))
