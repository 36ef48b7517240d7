"""Roles by which a service is split over processes and machines."""

from enum import StrEnum


class Role(StrEnum):
    """Part of the service that a process runs. A service can be split over processes and machines by role."""

    API = "api"
    WORKER = "worker"
    DISPATCHER = "dispatcher"
    SWEEPER = "sweeper"
