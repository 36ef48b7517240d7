"""Reads the events of all jobs of a tenant, in bounded pages."""

from typing import NamedTuple

from duly.domain.stream_position import StreamPosition, before_transaction
from duly.store.ledger.event_tail import Moment, TailRow, read_moment, read_tail
from duly.store.postgres.database import Database

PAGE_ROWS, PAGE_BYTES = 500, 4 << 20
# Transactions that a page covers: at first, and at most. The number follows the density of events. No server begins
# more than the most, so a stretch of this length reaches the end of its epoch.
FIRST_STRETCH, LONGEST_STRETCH = 1_000, 1 << 40


class LedgerPage(NamedTuple):
    """Events up to position `reached`, in order. `to_now`: nothing beyond it is settled yet."""

    rows: list[TailRow]
    reached: StreamPosition
    to_now: bool


class LedgerReader:
    """Reader of one follower, which adapts the size of its pages. Holds no connection between pages."""

    def __init__(self, database: Database, *, tenant_id: int) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._stretch = FIRST_STRETCH
        self._rows = PAGE_ROWS

    async def read(self, after: StreamPosition) -> LedgerPage:
        """Returns the next page after a position; an empty one if a long stretch has no events.

        Raises:
            DatabaseOutage: the database cannot be read now.
        """
        async with self._database.connection() as connection:
            moment = await read_moment(connection, after=after.tx)
            settled = moment.settled
            if after.tx >= settled:
                return LedgerPage([], after, to_now=True)
            before = self._end_of_page(after.tx, moment)
            page = await read_tail(
                connection, self._tenant_id, after, before=before, limit=self._rows, most_bytes=PAGE_BYTES
            )
        found = len(page.rows)
        if page.whole:
            if found < self._rows // 2:
                self._stretch = min(2 * self._stretch, LONGEST_STRETCH)
            self._rows = min(2 * self._rows, PAGE_ROWS)
            if before == moment.next_epoch:
                self._stretch = FIRST_STRETCH
            return LedgerPage(page.rows, before_transaction(before), to_now=before == settled)
        reached = page.rows[-1].position
        self._stretch = max(1, 2 * (reached.tx - after.tx))
        self._rows = min(max(2 * found, 2), PAGE_ROWS)
        return LedgerPage(page.rows, reached, to_now=False)

    def _end_of_page(self, after: int, moment: Moment) -> int:
        """Returns the first transaction beyond the next page. No page has events of two epochs, between whose numbers
        is a gap.
        """
        end = moment.settled if moment.next_epoch is None else min(moment.settled, moment.next_epoch)
        return end if self._stretch >= LONGEST_STRETCH else min(end, after + self._stretch)
