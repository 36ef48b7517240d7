"""Supervisor of several processes: signals while it starts one of them."""

import signal
import socket
from multiprocessing.context import SpawnProcess
from typing import Any, cast

import pytest

from duly.cli.supervisor import _Child


def test_ctrl_c_while_a_process_is_started_is_received_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[int] = []
    during_start: list[int] = []

    def start(_: SpawnProcess) -> None:
        signal.raise_signal(signal.SIGINT)
        during_start.extend(received)

    monkeypatch.setattr(SpawnProcess, "start", start)
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        with socket.socket() as listening:
            child = _Child(cast("Any", None), listening)
        child.pipe.close()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (during_start, received) == ([], [signal.SIGINT])
