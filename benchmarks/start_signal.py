"""How a handler tells the benchmark when it started: a datagram with the job's index and the monotonic clock."""

import os
import socket
import struct
import time
from collections.abc import Mapping

SOCKET_VARIABLE = "BENCHMARK_SOCKET"
_SIGNAL = struct.Struct("<qq")


class StartSignal:
    """Sends to the socket named in the environment; does nothing where none is named.

    The monotonic clock is one for the whole machine on Linux, so the receiver may subtract its own reading.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._path = environment.get(SOCKET_VARIABLE)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._path else None

    def send(self, index: int) -> None:
        if self._socket is not None and self._path is not None:
            self._socket.sendto(_SIGNAL.pack(index, time.monotonic_ns()), self._path)


class StartSignalReceiver:
    """The other end: bound to `path`, read with a bound on the wait."""

    def __init__(self, path: str, *, timeout_seconds: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(timeout_seconds)

    def receive(self) -> tuple[int, int]:
        """The index of the job that started and when, in nanoseconds. TimeoutError when none comes."""
        index, nanoseconds = _SIGNAL.unpack(self._socket.recv(_SIGNAL.size))
        return int(index), int(nanoseconds)

    def close(self) -> None:
        self._socket.close()
