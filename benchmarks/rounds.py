"""Alternating rounds: each contestant once per round; a failed one is excluded from then on, with the reason."""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.contestants import DULY_SERVICE, Contestant
from benchmarks.processes import ContestantFailed
from benchmarks.run_context import Kind, RunContext
from benchmarks.stats import Spread, spread


@dataclass(frozen=True, slots=True)
class Round:
    """Figures of one contestant in one round by name, and the cores used by part."""

    figures: dict[str, float]
    cores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """Rounds of one contestant in one row; `failure` is the reason if there are fewer than planned."""

    contestant: Contestant
    rounds: list[Round] = field(default_factory=list)
    failure: str | None = None

    def spreads(self) -> dict[str, Spread]:
        names = self.rounds[0].figures if self.rounds else {}
        return {name: spread([each.figures[name] for each in self.rounds]) for name in names}

    def cores(self) -> dict[str, float]:
        names = self.rounds[0].cores if self.rounds else {}
        return {name: spread([each.cores[name] for each in self.rounds]).median for name in names}


def alternate(
    row: str, contestants: Sequence[Contestant], *, context: RunContext, measure: Callable[[Contestant], Round]
) -> list[Result]:
    """Measures every participating contestant in every round; each round begins with another one. Beside Duly takes
    part the earlier build, if the run has one.
    """
    contestants = [contestant for contestant in contestants if contestant.kind in context.kinds]
    if context.against and DULY_SERVICE in contestants:
        contestants.insert(1, Contestant(context.against.name, Kind.DULY))
    done: dict[str, list[Round]] = {contestant.name: [] for contestant in contestants}
    failures: dict[str, str] = {}
    order = deque(contestants)
    for number in range(context.sizes.rounds):
        for contestant in [each for each in order if each.name not in failures]:
            try:
                result = _measured(contestant, context, measure)
            except ContestantFailed as error:
                failures[contestant.name] = str(error)
                _log(f"{row} · {contestant.name}: {error}")
            else:
                done[contestant.name].append(result)
                _log(f"{row} · round {number + 1} · {contestant.name}: {_format_figures(result)}")
        order.rotate(-1)
    return [Result(each, done[each.name], failures.get(each.name)) for each in contestants]


def _measured(contestant: Contestant, context: RunContext, measure: Callable[[Contestant], Round]) -> Round:
    if context.against is None or contestant.name != context.against.name:
        return measure(contestant)
    with context.earlier_build():
        return measure(DULY_SERVICE)


def _format_figures(result: Round) -> str:
    return ", ".join(f"{name} {value:,.2f}" for name, value in result.figures.items())


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
