"""Context that the contestants of a run share: server, folder and sizes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from benchmarks.earlier_build import EarlierBuild
from benchmarks.postgres_server import Server


class Kind(StrEnum):
    """Role of a contestant in the comparison."""

    DULY = "duly"
    NAIVE = "naive"
    PEER = "peer"
    CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a run: rounds, seconds of each load, and counts. The defaults are those of the quick run."""

    rounds: int = 2
    seconds: float = 0.8
    warm_up: float = 0.25
    processed_jobs: int = 20_000
    processed_naive_jobs: int = 1_500
    pick_ups: int = 15
    jobs_in_flight: int = 512
    idle_seconds: float = 1.0
    jobs_per_request: int = 500
    # Growth: waiting, finished and parked jobs, jobs run beside them, rounds.
    growth_rounds: int = 1
    waiting_jobs: tuple[int, ...] = (1_000_000,)
    finished_jobs: tuple[int, ...] = (1_000_000,)
    parked_jobs: int = 1_000_000
    drained_jobs: int = 20_000
    snapshot_seconds: float = 5.0
    arrivals_per_second: float = 2_000.0
    process_counts: tuple[int, ...] = (1, 2, 4)
    # Overload: the load that is sustainable, before, during and after it, and the limit of outstanding requests.
    sustainable_seconds: float = 1.2
    calm_seconds: float = 3.0
    overload_seconds: float = 7.0
    recovery_seconds: float = 4.0
    overload_connections: int = 1000
    # Hostile clients: the moderate load beside them, and the number of each kind.
    hostile_seconds: float = 2.5
    regular_requests_per_second: float = 200.0
    hostile_opening_seconds: float = 1.2
    hostile: Mapping[str, int] = field(
        default_factory=lambda: {"silent": 1_100, "half_heads": 500, "slow_bodies": 300, "header_lines": 4}
    )
    # Streams of all jobs that receive nothing; streams that receive each event, and the number of these.
    idle_streams: int = 2_000
    broadcast_streams: int = 1_000
    broadcast_events: int = 100
    soak_minutes: float = 30.0
    soak_jobs_per_second: float = 1_000.0
    # Webhooks: concurrent requests; deliveries and endpoints of a filled outbox; jobs whose notification is timed; the
    # load with endpoints that never respond, longer than the timeout of a request, so that circuits open; the load with
    # other endpoints, and with callbacks.
    posts_at_once: int = 64
    deliveries: int = 10_000
    naive_deliveries: int = 400
    endpoints: int = 50
    notification_jobs: int = 20
    black_hole_seconds: float = 15.0
    black_hole_others_seconds: float = 3.5
    black_hole_callback_seconds: float = 3.5
    black_hole_jobs_per_second: float = 50.0
    # Drop each database after its round and checkpoint before the next, so that rounds do not affect each other.
    tidy: bool = True
    # The full run: all peers and configurations, the largest sizes, the longest loads.
    full: bool = False

    @property
    def name(self) -> str:
        return "full" if self.full else "quick" if self.tidy else "small"


FULL = Sizes(
    full=True,
    rounds=3,
    seconds=5.0,
    warm_up=0.4,
    sustainable_seconds=5.0,
    idle_streams=10_000,
    growth_rounds=3,
    processed_naive_jobs=2_000,
    pick_ups=30,
    deliveries=20_000,
    waiting_jobs=(100_000, 1_000_000, 10_000_000),
    finished_jobs=(1_000_000, 10_000_000),
    drained_jobs=100_000,
    snapshot_seconds=600.0,
    overload_seconds=120.0,
    recovery_seconds=30.0,
    hostile_seconds=30.0,
    hostile_opening_seconds=2.0,
    calm_seconds=15.0,
    notification_jobs=200,
    black_hole_seconds=30.0,
    black_hole_others_seconds=30.0,
    black_hole_callback_seconds=20.0,
)

SMALL = Sizes(
    rounds=1,
    seconds=0.1,
    warm_up=0.05,
    sustainable_seconds=0.1,
    processed_jobs=60,
    processed_naive_jobs=30,
    pick_ups=5,
    jobs_in_flight=8,
    idle_seconds=0.1,
    jobs_per_request=10,
    waiting_jobs=(400,),
    finished_jobs=(400,),
    parked_jobs=400,
    drained_jobs=100,
    snapshot_seconds=1.0,
    arrivals_per_second=100.0,
    process_counts=(1, 2),
    calm_seconds=1.0,
    overload_seconds=1.0,
    recovery_seconds=2.0,
    overload_connections=50,
    hostile_seconds=0.5,
    regular_requests_per_second=50.0,
    hostile_opening_seconds=0.2,
    hostile={"silent": 20, "half_heads": 20, "slow_bodies": 20, "header_lines": 1},
    idle_streams=40,
    broadcast_streams=20,
    broadcast_events=5,
    soak_minutes=0.05,
    soak_jobs_per_second=50.0,
    posts_at_once=8,
    deliveries=40,
    naive_deliveries=20,
    endpoints=4,
    notification_jobs=4,
    black_hole_seconds=1.0,
    black_hole_others_seconds=1.0,
    black_hole_callback_seconds=1.0,
    black_hole_jobs_per_second=20.0,
    tidy=False,
)


@dataclass(slots=True)
class _Builds:
    """State that copies of a context share: whether the earlier build is measured now, and the templates of each."""

    earlier: bool = False
    templates: dict[bool, dict[str, str]] = field(default_factory=lambda: {False: {}, True: {}})


@dataclass(slots=True)
class RunContext:
    server: Server
    folder: Path
    sizes: Sizes
    kinds: frozenset[Kind] = frozenset(Kind)
    against: EarlierBuild | None = None
    _builds: _Builds = field(default_factory=_Builds)

    @property
    def templates(self) -> dict[str, str]:
        """Template databases by what they are filled with."""
        return self._builds.templates[self._builds.earlier]

    @property
    def source(self) -> Path | None:
        """Folder of the source of Duly that is measured now; None for the installed one."""
        return self.against.folder / "app" if self.against and self._builds.earlier else None

    @contextmanager
    def earlier_build(self) -> Iterator[None]:
        """Measures the earlier build while the block runs."""
        self._builds.earlier = True
        try:
            yield
        finally:
            self._builds.earlier = False

    def with_rounds(self, rounds: int) -> "RunContext":
        """Returns this context with another number of rounds."""
        return replace(self, sizes=replace(self.sizes, rounds=rounds))

    def create(self, template: str | None = None) -> str:
        """Creates a database for one contestant and returns its name."""
        if self.sizes.tidy:
            self.server.execute("postgres", "checkpoint")
        return self.server.create(template)

    def drop(self, database: str) -> None:
        if self.sizes.tidy:
            self.server.drop(database)
