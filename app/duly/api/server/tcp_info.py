"""State of a connection as Linux reports it (`struct tcp_info`); other systems report nothing."""

import socket
import sys

# `tcpi_state` comes first; `tcpi_last_data_recv` is in milliseconds.
_BYTES, _LAST_DATA_RECEIVED = 60, 52
_TCP_CLOSE = 7


def unread_seconds(connection: socket.socket) -> float:
    """Returns the age of the bytes that are being read now, in seconds; 0 where the system does not report it."""
    if not sys.platform.startswith("linux"):
        return 0.0
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES)
    except OSError:
        return 0.0
    return int.from_bytes(info[_LAST_DATA_RECEIVED:_BYTES][:4], sys.byteorder) / 1000


def was_reset(connection: socket.socket) -> bool:
    """Returns whether the client has reset the connection."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
    except OSError:
        return False
