"""Compares the ledger with what clients know, to find what a fail-over or a restore has lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from duly.store.maintenance.accepted_jobs import read_accepted
from duly.store.maintenance.invariant_snapshot import read_kept_ranges
from duly.store.postgres.database import Database

AT_ONCE = 10_000


@dataclass(slots=True)
class AcceptedReport:
    """Result of a comparison.

    Attributes:
        jobs: number of jobs that were compared.
        expired: number of those that are not recorded because retention dropped their day.
        lost: jobs that are not recorded.
        rolled_back: jobs whose ledger ends before an event that a client saw: that event, and the last one recorded.
    """

    jobs: int = 0
    expired: int = 0
    lost: list[UUID] = field(default_factory=list)
    rolled_back: dict[UUID, tuple[int, int]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True if nothing was lost."""
        return not self.lost and not self.rolled_back


async def compare_accepted(database: Database, seen: Mapping[UUID, int]) -> AcceptedReport:
    """Compares jobs that were accepted, each with the highest sequence that a client saw (0: its submission).

    Raises:
        DatabaseOutage, RecordRefused: see `duly.store.postgres.database`.
    """
    report = AcceptedReport(jobs=len(seen))
    async with database.connection() as connection:
        kept = await read_kept_ranges(connection)
        ids = sorted(seen)
        for start in range(0, len(ids), AT_ONCE):
            for record in await read_accepted(connection, ids[start : start + AT_ONCE]):
                if not record.recorded:
                    if any(low <= record.job_id < high for low, high in kept):
                        report.lost.append(record.job_id)
                    else:
                        report.expired += 1
                elif record.sequence < seen[record.job_id]:
                    report.rolled_back[record.job_id] = seen[record.job_id], record.sequence
    return report
