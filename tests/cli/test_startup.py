"""The supervisor of the embedded server: when it looks at the server, and what it does then."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from duly.cli import startup
from duly.cli.startup import Keeper
from duly.embedded.server import EmbeddedServer
from tests.support.service import BOUND_SECONDS


class FakeServer:
    """Process in the place of a server. `answers`: whether it can be connected to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.process = self._started()
        self.answers = True
        self.looks = self.revivals = 0
        monkeypatch.setattr(startup, "listens", self.listens)
        monkeypatch.setattr(startup, "revive", self.revive)

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])

    @property
    def server(self) -> EmbeddedServer:
        return EmbeddedServer("postgresql://", Path(), Path(), self.process.pid)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def listens(self, _: EmbeddedServer) -> bool:
        self.looks += 1
        return self.answers

    def revive(self, _: EmbeddedServer) -> EmbeddedServer:
        self.revivals += 1
        self.end()
        self.process, self.answers = self._started(), True
        return self.server


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    server = FakeServer(monkeypatch)
    yield server
    server.end()


async def test_the_end_of_the_server_is_noticed_although_nothing_looks(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "PROBE_SECONDS", 3600.0)
    keeper = Keeper(fake.server)
    for _ in range(2):  # also that of the next one
        waiting = asyncio.create_task(keeper.step())
        fake.answers = False
        fake.end()
        await asyncio.wait_for(waiting, BOUND_SECONDS)
    assert (fake.looks, fake.revivals) == (2, 2)


async def test_a_living_server_is_looked_at_rarely(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(fake.server)
    for _ in range(100):
        keeper.look_if_due()
    assert fake.looks == 0
    monkeypatch.setattr(startup, "PROBE_SECONDS", 0.0)
    keeper.look_if_due()
    await keeper.step()
    assert (fake.looks, fake.revivals) == (2, 0)


def test_a_server_that_another_process_has_restarted_is_watched_from_then_on(fake: FakeServer) -> None:
    keeper = Keeper(fake.server)
    fake.end()
    keeper.look_if_due()
    assert (fake.looks, fake.revivals) == (1, 1)
    keeper.look_if_due()
    assert fake.looks == 1


def test_without_pidfds_each_round_looks(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    keeper = Keeper(fake.server)
    keeper.look_if_due()
    fake.answers = False
    keeper.look_if_due()
    assert (fake.looks, fake.revivals) == (2, 1)
