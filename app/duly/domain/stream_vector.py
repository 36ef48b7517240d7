"""Position in the event stream of all jobs of several cells: one position for each cell.

Its text has two parts: the position in the cell of the frame's event, as the cell itself writes it, and before it the
positions in all other cells, which are the same for all frames that one cell sends at a time.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias
from uuid import UUID

from duly.domain.cursor import decode_cursor, encode_cursor
from duly.domain.ids import SMALLEST
from duly.domain.stream_position import StreamPosition, before_transaction, read_position

# None: nothing of the cell was read yet, since it was away. It is followed from when it is back.
StreamVector: TypeAlias = Sequence[StreamPosition | None]

LONGEST: Final = 16_384
_KIND: Final = "all events of all cells"
_BETWEEN: Final = "."
# Each position begins with the number of bytes of its transaction, and this mark if it is within the transaction.
_WITHIN: Final = 16
_ID_BYTES, _SEQUENCE_BYTES = 16, 4


def write_others(vector: StreamVector, number: int) -> str:
    """Returns the first part of the texts of frames of this cell: the positions in all other cells."""
    others = b"".join(_packed(each) for place, each in enumerate(vector) if place != number)
    return encode_cursor(_KIND, bytes([number, len(vector) - 1]) + others) + _BETWEEN


def write_vector(vector: StreamVector) -> str:
    """Returns the text of a position, of which at least one cell is known."""
    number, position = next((number, each) for number, each in enumerate(vector) if each is not None)
    return f"{write_others(vector, number)}{position}"


def read_vector(text: str, count: int) -> StreamVector | None:
    """Returns the position of a text of an installation with this number of cells; None if the text is invalid."""
    first, _, second = text.partition(_BETWEEN)
    packed, position = decode_cursor(_KIND, first), read_position(second)
    if packed is None or position is None or len(packed) < 2 or packed[1] != count - 1:  # noqa: PLR2004  # its head
        return None
    vector: list[StreamPosition | None] = []
    rest = packed[2:]
    while rest and len(vector) < count:
        size, within = rest[0] & (_WITHIN - 1), rest[0] & _WITHIN
        end = 1 + size + (_ID_BYTES + _SEQUENCE_BYTES if within else 0)
        vector.append(_unpacked(rest[1:end], size) if size else None)
        rest = rest[end:]
    if rest or len(vector) != count - 1 or packed[0] >= count:
        return None
    vector.insert(packed[0], position)
    return vector


def _packed(position: StreamPosition | None) -> bytes:
    if position is None:
        return b"\0"
    size = max(1, (position.tx.bit_length() + 7) // 8)
    tx = position.tx.to_bytes(size)
    if position == before_transaction(position.tx):
        return bytes([size]) + tx
    return bytes([size | _WITHIN]) + tx + position.job_id.bytes + position.sequence.to_bytes(_SEQUENCE_BYTES)


def _unpacked(packed: bytes, size: int) -> StreamPosition:
    tx, rest = int.from_bytes(packed[:size]), packed[size:]
    if not rest:
        return StreamPosition(tx, SMALLEST, 0)
    return StreamPosition(tx, UUID(bytes=rest[:_ID_BYTES]), int.from_bytes(rest[_ID_BYTES:]))
