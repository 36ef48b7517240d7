"""Runs a load generator in a process of its own and reads the line of JSON that it prints."""

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from benchmarks.contestants import Running, clean_environment
from benchmarks.ground import Ground
from benchmarks.lives import LivesOutcome, LivesPlan
from benchmarks.load import LoadOutcome, LoadPlan
from benchmarks.processes import ROOT, ContestantFailed, cores
from benchmarks.rounds import Round

SPARE_SECONDS = 60.0


def generate_load(plan: LoadPlan) -> LoadOutcome:
    """Raises ContestantFailed when nothing was accepted."""
    outcome = LoadOutcome(
        **run_generator("benchmarks.load", json.dumps(asdict(plan)), seconds=plan.warm_up + plan.seconds)
    )
    if outcome.accepted == 0:
        raise ContestantFailed(f"POST {plan.path} accepted nothing; answers by status: {outcome.statuses}")
    return outcome


def generate_lives(plan: LivesPlan) -> LivesOutcome:
    """Raises ContestantFailed when no life was completed."""
    outcome = LivesOutcome(
        **run_generator("benchmarks.lives", json.dumps(asdict(plan)), seconds=plan.warm_up + plan.seconds)
    )
    if outcome.lives == 0:
        raise ContestantFailed(f"no webhook was received; answers by status: {outcome.statuses}")
    return outcome


def loaded(ground: Ground, running: Running, plan: LoadPlan) -> Round:
    """One round of a load: its figures, and the cores of service, Postgres and generator beside them."""
    with cores(service=running.pid, postgres=ground.server.pid) as used:
        outcome = generate_load(plan)
    figures = {"rate": outcome.rate, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms}
    figures["errors"] = float(outcome.refused + outcome.broken)
    return Round(figures, used.used | {"generator": outcome.generator_cores})


def run_generator(module: str, *arguments: str, seconds: float, program: str = sys.executable) -> dict[str, Any]:
    """What it tells, in a process of its own. Raises ContestantFailed when it fails, or takes a minute more."""
    command = [program, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=seconds + SPARE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ContestantFailed(f"{module} did not end within {error.timeout:g} s") from error
    if done.returncode != 0:
        raise ContestantFailed(f"{module} failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome
