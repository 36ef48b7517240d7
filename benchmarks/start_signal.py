"""Start signal of a handler: a datagram with the index of the job and the monotonic clock."""

import os
import socket
import struct
import time
from collections.abc import Mapping

SOCKET_VARIABLE = "BENCHMARK_SOCKET"
_SIGNAL = struct.Struct("<qq")


class StartSignal:
    """Sender to the socket named in the environment; it does nothing if none is named.

    On Linux, all processes share the monotonic clock, so the receiver may subtract its own reading.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._path = environment.get(SOCKET_VARIABLE)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._path else None

    def send(self, index: int) -> None:
        if self._socket is not None and self._path is not None:
            self._socket.sendto(_SIGNAL.pack(index, time.monotonic_ns()), self._path)


class StartSignalReceiver:
    """Receiver of start signals at `path`, with a timeout."""

    def __init__(self, path: str, *, timeout_seconds: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(timeout_seconds)

    def receive(self) -> tuple[int, int]:
        """Returns the index of the started job and the time in nanoseconds. Raises TimeoutError if none arrives."""
        index, nanoseconds = _SIGNAL.unpack(self._socket.recv(_SIGNAL.size))
        return int(index), int(nanoseconds)

    def close(self) -> None:
        self._socket.close()
