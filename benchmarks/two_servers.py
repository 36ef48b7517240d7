"""Two cells on two servers against two on one: `python -m benchmarks.two_servers [--seconds 10] [--rounds 3]`.

Alternates rounds of single submissions and prints, for each layout, accepted submissions per second and the cores that
the service and the servers used. On a machine with few cores, both layouts share them: compare the cores used for each
submission there, and not the rate.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.closed_loop import LoadPlan
from benchmarks.contestants import DULY, DULY_READY, clean_environment
from benchmarks.generator_processes import generate_load
from benchmarks.postgres_server import Server, open_folder, running_server
from benchmarks.processes import cores, started
from benchmarks.submissions import SINGLE_PATH, one

CELLS = 2


class Measured(NamedTuple):
    """One round: accepted submissions per second, and microseconds of a core for each."""

    rate: float
    service_microseconds: float
    postgres_microseconds: float


def layouts(servers: Sequence[Server]) -> dict[str, tuple[list[str], list[int]]]:
    """Returns for each layout its cells and the processes of its servers. Each cell is a database of its own."""
    found: dict[str, tuple[list[str], list[int]]] = {}
    for name, used in (("two cells on one server", servers[:1]), ("two cells on two servers", servers[:CELLS])):
        places = [used[cell % len(used)] for cell in range(CELLS)]
        urls = [f"{server.url(server.create())}#cell_{cell}" for cell, server in enumerate(places)]
        found[name] = urls, [server.pid for server in used]
    return found


@contextmanager
def serving(cells: Sequence[str], log: Path) -> Iterator[tuple[int, int]]:
    """Yields the process and the port of a service without workers."""
    environment = clean_environment() | {"DULY_CELLS": "\n".join(cells)}
    subprocess.run([str(DULY), "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
    command = [str(DULY), "serve", "--port", "0", "--role", "api", "--handlers", "benchmarks.noop_handler"]
    with started(command, environment=environment, log=log, ready=DULY_READY, within_seconds=120) as service:
        yield service.pid, service.port


def measure(cells: Sequence[str], servers: Sequence[int], *, log: Path, seconds: float) -> Measured:
    """Measures one round."""
    with serving(cells, log) as (pid, port):
        plan = LoadPlan(port, SINGLE_PATH, one().decode(), seconds=seconds, warm_up=1.0)
        roots = {f"postgres{number}": server for number, server in enumerate(servers)}
        with cores(service=pid, **roots) as used:
            outcome = generate_load(plan)
    postgres = sum(used.used[name] for name in roots)
    return Measured(outcome.rate, used.used["service"] / outcome.rate * 1e6, postgres / outcome.rate * 1e6)


def main(arguments: Sequence[str]) -> int:
    """Prints the medians of both layouts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with open_folder() as folder, ExitStack() as stack:
        servers = [stack.enter_context(running_server(folder / f"postgres-{n}")) for n in range(CELLS)]
        chosen = layouts(servers)
        rounds: dict[str, list[Measured]] = {name: [] for name in chosen}
        for _ in range(options.rounds):
            for name, (cells, pids) in chosen.items():
                rounds[name].append(measure(cells, pids, log=folder / "service.log", seconds=options.seconds))
    print(f"| {os.cpu_count()} cores | accepted/s | service µs each | Postgres µs each |\n| --- | --- | --- | --- |")
    for name, measured in rounds.items():
        rate, service, postgres = (median(each) for each in zip(*measured, strict=True))
        print(f"| {name} | {rate:,.0f} | {service:.0f} | {postgres:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
