"""Fixtures of the faults: a service's logs are those of a process."""

from tests.faults.conftest import gates, processes

__all__ = ["gates", "processes"]
