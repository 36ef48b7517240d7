"""Short form of `make chaos`: each fault once, in an order that a seed fixes, while the other tests run beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forked_commands import ROOT

# Another seed would be another order, and the commit is what decides here: `make chaos` draws a new one each time.
SEED = 1
# A rate at which the processors have time for other tests.
SUBMISSIONS_PER_SECOND = 5
MINUTES = 4
# Ends a run that hangs: after the faults, everything that was accepted ends within a minute or two.
BOUND_SECONDS = 1_200
STOP_SECONDS = 120


@pytest.mark.timeout(BOUND_SECONDS + 2 * STOP_SECONDS)
def test_no_promise_is_broken_under_any_of_the_faults(tmp_path: Path) -> None:
    arguments = ("--once", f"--minutes={MINUTES}", f"--rate={SUBMISSIONS_PER_SECOND}", f"--seed={SEED}")
    log = tmp_path / "log"
    with log.open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos", *arguments], cwd=ROOT, stdout=output, stderr=output
        )
        try:
            run.wait(BOUND_SECONDS)
        except subprocess.TimeoutExpired:
            run.terminate()  # it ends its services and its server
            run.wait(STOP_SECONDS)
        finally:
            run.kill()
            run.wait()
    said = log.read_text()
    assert run.returncode == 0, said
    assert "| violations | 0 |" in said, said
