"""A place in the order in which the tenant's stream tells of all jobs: by transaction, then job, then sequence.

Commits happen out of the order of any id. What was written by transactions older than all that are still under way
will never be added to, so up to there the order is final, and the same for every reader.
"""

import struct
from typing import NamedTuple
from uuid import UUID

from duly.domain.cursor import decode_cursor, encode_cursor
from duly.domain.ids import SMALLEST

_KIND = "all events"
_FORM = struct.Struct(">Q16sI")


class StreamPosition(NamedTuple):
    """Everything up to this event, and including it, has been told."""

    tx: int
    job_id: UUID
    sequence: int

    def __str__(self) -> str:
        """As clients see it: opaque."""
        return encode_cursor(_KIND, _FORM.pack(self.tx, self.job_id.bytes, self.sequence))


def before_transaction(tx: int) -> StreamPosition:
    """All that older transactions wrote has been told, and nothing of this one."""
    return StreamPosition(tx, SMALLEST, 0)


def read_position(text: str) -> StreamPosition | None:
    """The position that a client names, or None for text that no stream gave out."""
    packed = decode_cursor(_KIND, text)
    if packed is None or len(packed) != _FORM.size:
        return None
    tx, job_id, sequence = _FORM.unpack(packed)
    return StreamPosition(tx, UUID(bytes=job_id), sequence)
