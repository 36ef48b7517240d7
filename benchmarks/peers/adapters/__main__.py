"""Entry point: `python -m benchmarks.peers.adapters MODULE TASK PLAN`.

The adapter is imported by its module name, so that its handlers have an importable name.
"""

import asyncio
import importlib
import importlib.util
import sys

from benchmarks.peers.adapters.harness import Plan, perform


def main(module: str, task: str, plan: str) -> None:
    peer = importlib.import_module(f"benchmarks.peers.adapters.{module}").Peer(Plan.read(plan))
    uvloop = importlib.import_module("uvloop") if importlib.util.find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        runner.run(perform(peer, task))


if __name__ == "__main__":
    main(*sys.argv[1:])
