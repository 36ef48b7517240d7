"""Load generators in their own processes; each prints its result as one line of JSON."""

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from benchmarks.closed_loop import LoadOutcome, LoadPlan
from benchmarks.contestants import Running, clean_environment
from benchmarks.end_to_end import EndToEndOutcome, EndToEndPlan
from benchmarks.processes import ROOT, ContestantFailed, cores
from benchmarks.rounds import Round
from benchmarks.run_context import RunContext

SPARE_SECONDS = 150.0


def generate_load(plan: LoadPlan) -> LoadOutcome:
    """Runs a closed loop. Raises ContestantFailed if nothing was accepted."""
    outcome = LoadOutcome(
        **run_generator("benchmarks.closed_loop", json.dumps(asdict(plan)), seconds=plan.warm_up + plan.seconds)
    )
    if outcome.accepted == 0:
        raise ContestantFailed(f"POST {plan.path} accepted nothing; responses by status: {outcome.statuses}")
    return outcome


def generate_end_to_end(plan: EndToEndPlan) -> EndToEndOutcome:
    """Runs jobs end to end. Raises ContestantFailed if no webhook was received."""
    outcome = EndToEndOutcome(
        **run_generator("benchmarks.end_to_end", json.dumps(asdict(plan)), seconds=plan.warm_up + plan.seconds)
    )
    if outcome.jobs == 0:
        raise ContestantFailed(f"no webhook was received; responses by status: {outcome.statuses}")
    return outcome


def loaded(context: RunContext, running: Running, plan: LoadPlan) -> Round:
    """Measures one round of a load: its figures, and the cores used by service, Postgres and generator."""
    with cores(service=running.pid, postgres=context.server.pid) as used:
        outcome = generate_load(plan)
    figures = {"rate": outcome.rate, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms}
    figures["errors"] = float(outcome.refused + outcome.broken)
    return Round(figures, used.used | {"generator": outcome.generator_cores})


def run_generator(module: str, *arguments: str, seconds: float, program: str = sys.executable) -> dict[str, Any]:
    """Runs a generator and returns its result. Raises ContestantFailed if it fails or takes minutes too long."""
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
        raise ContestantFailed(f"{module} failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome
