"""What the contestants of a run share: the server, the folder and the sizes."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from benchmarks.server import Server


class Kind(StrEnum):
    """What a contestant is to the comparison."""

    DULY = "duly"
    NAIVE = "naive"
    PEER = "peer"
    CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: rounds, seconds of each load, and the counts of the rows that count jobs."""

    rounds: int = 3
    seconds: float = 3.0
    warm_up: float = 0.5
    processed_jobs: int = 30_000
    processed_naive_jobs: int = 3_000
    pick_ups: int = 50
    lives_under_way: int = 512
    idle_seconds: float = 1.0
    jobs_a_request: int = 500
    # Drop each database after its round, and checkpoint before the next: no round pays for another's writes.
    tidy: bool = True
    # The long run: every peer and configuration, the largest sizes, the longest loads.
    full: bool = False


SMALL = Sizes(
    rounds=1,
    seconds=0.3,
    warm_up=0.1,
    processed_jobs=60,
    processed_naive_jobs=30,
    pick_ups=5,
    lives_under_way=8,
    idle_seconds=0.1,
    jobs_a_request=10,
    tidy=False,
)


@dataclass(slots=True)
class Ground:
    server: Server
    folder: Path
    sizes: Sizes
    kinds: frozenset[Kind] = frozenset(Kind)
    templates: dict[str, str] = field(default_factory=dict)

    def create(self, template: str | None = None) -> str:
        """A new database for one contestant; its name."""
        if self.sizes.tidy:
            self.server.execute("postgres", "checkpoint")
        return self.server.create(template)

    def drop(self, database: str) -> None:
        if self.sizes.tidy:
            self.server.drop(database)
