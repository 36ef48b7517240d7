"""Processes of a peer on one store."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.contestants import clean_environment
from benchmarks.peers import environments
from benchmarks.peers.adapters.harness import JOBS_VARIABLE, Plan
from benchmarks.peers.catalog import NODE, Peer, Store
from benchmarks.peers.line_process import LineProcess, run_line_process
from benchmarks.peers.stores import OpenStore, postgres_store, store_of
from benchmarks.run_context import RunContext

ADAPTERS = Path(__file__).parent / "adapters"
PREPARE_SECONDS = 60.0


class PeerProcesses:
    """One peer on one store, with any number of processes, in turn or concurrently."""

    def __init__(self, peer: Peer, context: RunContext, store: OpenStore) -> None:
        self._peer = peer
        self._folder = context.folder
        self._installed = environments.installed(peer)
        self.store = store

    @contextlib.contextmanager
    def task(self, task: str, plan: Plan, *, jobs: int = 0) -> Iterator[LineProcess]:
        """Runs one of the four tasks of adapters/ for the length of the block."""
        environment = clean_environment() | {
            JOBS_VARIABLE: str(jobs),
            "BENCHMARK_MODULES": str(self._installed.modules / "package.json"),
        }
        command = [*self._program(), task, json.dumps(asdict(plan))]
        log = self._folder / f"{self._peer.module}-{task}.log"
        with run_line_process(f"{self._peer.name}, {task}", command, environment=environment, log=log) as process:
            yield process

    def plan(self) -> Plan:
        peer = self._peer
        return Plan(url=self.store.url, settings=dict(peer.settings), chunk=peer.chunk, callers=peer.callers)

    def _program(self) -> list[str]:
        if environments.environment_of(self._peer) == NODE:
            return [str(self._installed.program), str(ADAPTERS / f"{self._peer.module}.mjs")]
        return [str(self._installed.program), "-m", "benchmarks.peers.adapters", self._peer.module]


@contextlib.contextmanager
def prepared(peer: Peer, context: RunContext) -> Iterator[PeerProcesses]:
    """Yields the peer on an empty store with its tables. Raises ContestantFailed if it cannot be prepared."""
    environments.installed(peer)
    template = _template(peer, context) if peer.store is Store.POSTGRES else None
    with store_of(peer, context, template) as store:
        peer_processes = PeerProcesses(peer, context, store)
        if template is None:
            _prepare(peer_processes)
        yield peer_processes


def _template(peer: Peer, context: RunContext) -> str:
    """Returns the database with the tables of the peer, which is created once in a run."""
    name = f"prepared for {peer.name}, {peer.setup}"
    if name not in context.templates:
        database = context.create()
        _prepare(PeerProcesses(peer, context, postgres_store(peer, context, database)))
        context.templates[name] = database
    return context.templates[name]


def _prepare(peer_processes: PeerProcesses) -> None:
    with peer_processes.task("prepare", peer_processes.plan()) as process:
        process.wait(within_seconds=PREPARE_SECONDS)
