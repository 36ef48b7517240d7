"""Settings of fuzz tests: the same examples in each run; with `pytest --long`, random ones, fifty times as many."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings

LONG = "long"
_TIMES = 50
_Test = TypeVar("_Test", bound=Callable[..., object])


def run_long() -> None:
    """Runs the tests that are collected from now on with more examples, in the profile `long`."""
    settings.register_profile(LONG, deadline=None)
    settings.load_profile(LONG)


def fuzzed(examples: int) -> Callable[[_Test], _Test]:
    """Returns the settings of a test of this many examples."""
    long = settings.get_current_profile_name() == LONG
    chosen: Callable[[_Test], _Test] = settings(
        max_examples=examples * (_TIMES if long else 1),
        derandomize=not long,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return chosen
