"""Settings of fuzz tests: the same examples in each run; with `pytest --long`, random ones, fifty times as many."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, settings

SHORT, LONG = "short", "long"
_TIMES = 50
ON_ANY_MACHINE: Final[dict[str, Any]] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
_Test = TypeVar("_Test", bound=Callable[..., object])


def choose_profile(*, long: bool) -> None:
    """Sets the defaults of the tests that are collected from now on. The time of an example depends on the machine."""
    settings.register_profile(SHORT, derandomize=True, database=None, **ON_ANY_MACHINE)
    settings.register_profile(LONG, **ON_ANY_MACHINE)
    settings.load_profile(LONG if long else SHORT)


def fuzzed(examples: int) -> Callable[[_Test], _Test]:
    """Returns the settings of a test of this many examples, as a decorator."""
    chosen: Callable[[_Test], _Test] = fuzz_settings(examples)
    return chosen


def fuzz_settings(examples: int, **more: Any) -> settings:
    """Returns the settings of this many examples, and `more`."""
    long = settings.get_current_profile_name() == LONG
    return settings(
        max_examples=examples * (_TIMES if long else 1),
        derandomize=not long,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
