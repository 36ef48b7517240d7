"""What the contestants of a run share: the server, the folder and the sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    """How much is measured: rounds, seconds of each load, and counts. The defaults are those of the quick run."""

    rounds: int = 2
    seconds: float = 1.2
    warm_up: float = 0.4
    processed_jobs: int = 20_000
    processed_naive_jobs: int = 2_000
    pick_ups: int = 30
    lives_under_way: int = 512
    idle_seconds: float = 1.0
    jobs_a_request: int = 500
    # Growth: what waits or has ended already, the jobs run beside it, the rounds; each an empty ledger's twin.
    growth_rounds: int = 1
    waiting_jobs: tuple[int, ...] = (1_000_000,)
    finished_jobs: tuple[int, ...] = (1_000_000,)
    drained_jobs: int = 20_000
    snapshot_seconds: float = 8.0
    arrivals_a_second: float = 2_000.0
    process_counts: tuple[int, ...] = (1, 2, 4)
    # Overload: the load before and after it, itself, and how many requests the crowd has outstanding at most.
    calm_seconds: float = 3.0
    overload_seconds: float = 10.0
    recovery_seconds: float = 8.0
    crowd: int = 1000
    # Hostile clients: the calm load beside them, and how many there are of each kind.
    door_seconds: float = 8.0
    door_requests_a_second: float = 200.0
    door_opening_seconds: float = 2.0
    hostile: Mapping[str, int] = field(
        default_factory=lambda: {"silent": 1_100, "half_heads": 500, "slow_bodies": 300, "header_lines": 4}
    )
    soak_minutes: float = 30.0
    soak_lives_a_second: float = 1_000.0
    # Webhooks: posts by themselves; how many fill an outbox, and to how many endpoints; jobs told of one by one; a
    # healthy receiver beside as many that never answer: longer than a post may take, so that circuits open.
    posts_at_once: int = 64
    deliveries: int = 20_000
    naive_deliveries: int = 1_000
    endpoints: int = 50
    told_jobs: int = 60
    black_hole_seconds: float = 20.0
    black_hole_callback_seconds: float = 8.0
    black_hole_jobs_a_second: float = 50.0
    # Drop each database after its round, and checkpoint before the next: no round pays for another's writes.
    tidy: bool = True
    # The long run: every peer and configuration, the largest sizes, the longest loads.
    full: bool = False

    @property
    def name(self) -> str:
        return "full" if self.full else "quick" if self.tidy else "small"


FULL = Sizes(
    full=True,
    rounds=3,
    seconds=5.0,
    growth_rounds=3,
    waiting_jobs=(100_000, 1_000_000, 10_000_000),
    finished_jobs=(1_000_000, 10_000_000),
    drained_jobs=100_000,
    snapshot_seconds=600.0,
    overload_seconds=120.0,
    recovery_seconds=30.0,
    door_seconds=30.0,
    calm_seconds=15.0,
    told_jobs=200,
    black_hole_seconds=30.0,
    black_hole_callback_seconds=20.0,
)

SMALL = Sizes(
    rounds=1,
    seconds=0.1,
    warm_up=0.05,
    processed_jobs=60,
    processed_naive_jobs=30,
    pick_ups=5,
    lives_under_way=8,
    idle_seconds=0.1,
    jobs_a_request=10,
    waiting_jobs=(400,),
    finished_jobs=(400,),
    drained_jobs=100,
    snapshot_seconds=1.0,
    arrivals_a_second=100.0,
    process_counts=(1, 2),
    calm_seconds=1.0,
    overload_seconds=1.0,
    recovery_seconds=2.0,
    crowd=50,
    door_seconds=0.5,
    door_requests_a_second=50.0,
    door_opening_seconds=0.2,
    hostile={"silent": 20, "half_heads": 20, "slow_bodies": 20, "header_lines": 1},
    soak_minutes=0.05,
    soak_lives_a_second=50.0,
    posts_at_once=8,
    deliveries=40,
    naive_deliveries=20,
    endpoints=4,
    told_jobs=4,
    black_hole_seconds=1.0,
    black_hole_callback_seconds=1.0,
    black_hole_jobs_a_second=20.0,
    tidy=False,
)


@dataclass(slots=True)
class Ground:
    server: Server
    folder: Path
    sizes: Sizes
    kinds: frozenset[Kind] = frozenset(Kind)
    templates: dict[str, str] = field(default_factory=dict)

    def with_rounds(self, rounds: int) -> "Ground":
        """The same ground for a row that has rounds of its own."""
        return replace(self, sizes=replace(self.sizes, rounds=rounds))

    def create(self, template: str | None = None) -> str:
        """A new database for one contestant; its name."""
        if self.sizes.tidy:
            self.server.execute("postgres", "checkpoint")
        return self.server.create(template)

    def drop(self, database: str) -> None:
        if self.sizes.tidy:
            self.server.drop(database)
