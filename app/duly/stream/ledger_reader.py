"""Reads on in what all jobs of a tenant have been through, page by page, never more than a page holds."""

from typing import NamedTuple

from duly.domain.stream_position import Position, before_transaction
from duly.store.ledger.event_tail import TailRow, read_moment, read_tail
from duly.store.postgres.database import Database

PAGE_ROWS, PAGE_BYTES = 500, 4 << 20
# A stretch of so many transactions is looked through at once, at first; then as many as a page was found in.
FIRST_STRETCH, LONGEST_STRETCH = 1_000, 1 << 40


class LedgerPage(NamedTuple):
    """What was found up to `reached`, in order. `to_now`: beyond that, nothing is settled yet."""

    rows: list[TailRow]
    reached: Position
    to_now: bool


class LedgerReader:
    """One reader's way through the ledger. It holds no connection between two pages."""

    def __init__(self, database: Database, *, tenant_id: int) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._stretch = FIRST_STRETCH
        self._rows = PAGE_ROWS

    async def read(self, after: Position) -> LedgerPage:
        """The next page beyond `after`; empty where a long stretch held nothing.

        Raises:
            DatabaseAway: see there.
        """
        async with self._database.connection() as connection:
            settled = (await read_moment(connection)).settled
            if after.tx >= settled:
                return LedgerPage([], after, to_now=True)
            before = min(settled, after.tx + self._stretch)
            page = await read_tail(
                connection, self._tenant_id, after, before=before, limit=self._rows, most_bytes=PAGE_BYTES
            )
        found = len(page.rows)
        if page.whole:
            if found < self._rows // 2:
                self._stretch = min(2 * self._stretch, LONGEST_STRETCH)
            self._rows = min(2 * self._rows, PAGE_ROWS)
            return LedgerPage(page.rows, before_transaction(before), to_now=before == settled)
        reached = page.rows[-1].position
        self._stretch = max(1, 2 * (reached.tx - after.tx))
        self._rows = min(max(2 * found, 2), PAGE_ROWS)
        return LedgerPage(page.rows, reached, to_now=False)
