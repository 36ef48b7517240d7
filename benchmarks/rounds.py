"""Alternating rounds: each contestant once a round, a failed one left out from then on and its reason kept."""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.contestants import Contestant
from benchmarks.figures import Spread, spread
from benchmarks.ground import Ground
from benchmarks.processes import ContestantFailed


@dataclass(frozen=True, slots=True)
class Round:
    """What one contestant showed in one round: figures by name, cores used by part."""

    figures: dict[str, float]
    cores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """One contestant's rounds in one row; `failure` says why there are none, or fewer than planned."""

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
    row: str, contestants: Sequence[Contestant], *, ground: Ground, measure: Callable[[Contestant], Round]
) -> list[Result]:
    """Measures every contestant that takes part in every round, each round beginning with another one."""
    contestants = [contestant for contestant in contestants if contestant.kind in ground.kinds]
    done: dict[str, list[Round]] = {contestant.name: [] for contestant in contestants}
    failures: dict[str, str] = {}
    order = deque(contestants)
    for number in range(ground.sizes.rounds):
        for contestant in [each for each in order if each.name not in failures]:
            try:
                result = measure(contestant)
            except ContestantFailed as error:
                failures[contestant.name] = str(error)
                _tell(f"{row} · {contestant.name}: {error}")
            else:
                done[contestant.name].append(result)
                _tell(f"{row} · round {number + 1} · {contestant.name}: {_words(result)}")
        order.rotate(-1)
    return [Result(each, done[each.name], failures.get(each.name)) for each in contestants]


def _words(result: Round) -> str:
    return ", ".join(f"{name} {value:,.2f}" for name, value in result.figures.items())


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
