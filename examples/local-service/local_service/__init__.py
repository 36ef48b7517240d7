"""Service of an example: `duly serve` as a child process, on a PostgreSQL of its own."""

from local_service.ports import free_port
from local_service.service import LocalService, running

__all__ = ["LocalService", "free_port", "running"]
