"""Ports of programs that are started later, or again."""

import secrets
import socket
from contextlib import suppress

_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Returns a port of this machine that is free now, below those that the system gives to outgoing connections: one
    of these might be taken before a program listens on it, or while the program is started again.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
