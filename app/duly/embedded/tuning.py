"""Settings of the embedded server by the resources of the machine. Durability settings (fsync and the like) are never
changed.
"""

import os
import shutil
from pathlib import Path

_MEBIBYTE = 1 << 20
_TEMPLATE = """\
# Written by Duly at each start. To set something else, use ALTER SYSTEM, which wins over this file.
cluster_name = 'duly'
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
timezone = 'UTC'
log_timezone = 'UTC'

shared_buffers = {shared_buffers}MB
effective_cache_size = {effective_cache_size}MB
wal_buffers = 16MB
max_wal_size = {max_wal_size}MB
min_wal_size = {min_wal_size}MB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
"""


def memory_limit(*, membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Returns the bytes of memory that this process may use: those of the machine, or the limit of its control group
    (v1 or v2).
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for line in membership.read_text().splitlines() if membership.exists() else []:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            limits += _limits_above(root / group.lstrip("/"), root=root, name="memory.max")
        elif "memory" in controllers.split(","):
            mount = root / "memory"
            limits += _limits_above(mount / group.lstrip("/"), root=mount, name="memory.limit_in_bytes")
    return min(limits)


def _limits_above(folder: Path, *, root: Path, name: str) -> list[int]:
    """Returns the limits of a group and of its parents; inside a container only the root may be visible."""
    groups = [group for group in (folder, *folder.parents) if group.is_relative_to(root)]
    texts = [(group / name).read_text().strip() for group in groups if (group / name).is_file()]
    return [int(text) for text in texts if text.isdecimal()]


def settings_text(*, cluster: Path, sockets: Path, port: int) -> str:
    """Returns the configuration file for this machine's memory and the free disk space under `cluster`."""
    memory = memory_limit() // _MEBIBYTE
    free = shutil.disk_usage(cluster).free // _MEBIBYTE
    max_wal_size = min(4096, max(256, free // 4))
    return _TEMPLATE.format(
        port=port,
        sockets=sockets,
        shared_buffers=min(1024, max(128, memory // 8)),
        effective_cache_size=max(128, memory // 2),
        max_wal_size=max_wal_size,
        min_wal_size=max_wal_size // 4,
    )
