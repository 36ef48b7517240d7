"""Position in the tenant's event stream, which is ordered by transaction, then job, then sequence.

Transactions commit in another order than any id. Transactions older than every open one are complete, so up to there
the order is final and the same for all readers. The numbers of transactions rise across restores of the database
(`duly.store.postgres.epochs`), so a position stays valid in any of them.
"""

import struct
from typing import NamedTuple
from uuid import UUID

from duly.domain.cursor import decode_cursor, encode_cursor
from duly.domain.ids import SMALLEST

_KIND = "all events"
_FORM = struct.Struct(">Q16sI")


class StreamPosition(NamedTuple):
    """Position after this event."""

    tx: int
    job_id: UUID
    sequence: int

    def __str__(self) -> str:
        """Returns the cursor that clients see."""
        return encode_cursor(_KIND, _FORM.pack(self.tx, self.job_id.bytes, self.sequence))


def before_transaction(tx: int) -> StreamPosition:
    """Returns the position after all older transactions, and before this one."""
    return StreamPosition(tx, SMALLEST, 0)


def read_position(text: str) -> StreamPosition | None:
    """Returns the position of a client's cursor; None if the text is invalid."""
    packed = decode_cursor(_KIND, text)
    if packed is None or len(packed) != _FORM.size:
        return None
    tx, job_id, sequence = _FORM.unpack(packed)
    return StreamPosition(tx, UUID(bytes=job_id), sequence)
