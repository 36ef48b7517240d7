"""A peer on one store: how its processes are started there."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.contestants import clean_environment
from benchmarks.ground import Ground
from benchmarks.peers import installing
from benchmarks.peers.catalog import NODE, Peer
from benchmarks.peers.conversation import Conversation, conversation
from benchmarks.peers.inside.frame import JOBS_VARIABLE, Plan
from benchmarks.peers.stores import OpenStore, store_of

INSIDE = Path(__file__).parent / "inside"
PREPARE_SECONDS = 60.0


class Side:
    """One peer, one store, any number of processes one after another or side by side."""

    def __init__(self, peer: Peer, ground: Ground, store: OpenStore) -> None:
        self._peer = peer
        self._folder = ground.folder
        self._installed = installing.installed(peer)
        self.store = store

    @contextlib.contextmanager
    def task(self, task: str, plan: Plan, *, jobs: int = 0) -> Iterator[Conversation]:
        """One of the four tasks of inside/, for the length of the block."""
        environment = clean_environment() | {
            JOBS_VARIABLE: str(jobs),
            "BENCHMARK_MODULES": str(self._installed.modules / "package.json"),
        }
        command = [*self._program(), task, json.dumps(asdict(plan))]
        log = self._folder / f"{self._peer.module}-{task}.log"
        with conversation(f"{self._peer.name}, {task}", command, environment=environment, log=log) as process:
            yield process

    def plan(self) -> Plan:
        peer = self._peer
        return Plan(url=self.store.url, settings=dict(peer.settings), chunk=peer.chunk, callers=peer.callers)

    def _program(self) -> list[str]:
        if installing.environment_of(self._peer) == NODE:
            return [str(self._installed.program), str(INSIDE / f"{self._peer.module}.mjs")]
        return [str(self._installed.program), "-m", "benchmarks.peers.inside", self._peer.module]


@contextlib.contextmanager
def prepared(peer: Peer, ground: Ground) -> Iterator[Side]:
    """The peer on an empty store with its tables made. Raises ContestantFailed where it cannot be had."""
    installing.installed(peer)
    with store_of(peer, ground) as store:
        side = Side(peer, ground, store)
        with side.task("prepare", side.plan()) as process:
            process.wait(within_seconds=PREPARE_SECONDS)
        yield side
