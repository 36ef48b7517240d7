"""Job ids: UUIDv7, which contain their time and sort by it (RFC 9562, section 5.7)."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b, sha1
from random import getrandbits
from uuid import UUID, SafeUUID

from uuid_utils.compat import uuid7 as _uuid7

from duly.domain.cells import ONLY, CellNumber, last_bytes

SMALLEST, LARGEST = UUID(int=0), UUID(int=(1 << 128) - 1)
_VERSION_AND_VARIANT = 7 << 76 | 2 << 62
# Digit with the variant, for each digit of a digest that becomes a UUID of version 5 (RFC 9562, section 5.5).
_VARIANT = {digit: "89ab"[place % 4] for place, digit in enumerate("0123456789abcdef")}
_LOW_30_BITS = (1 << 30) - 1
# A block of ids that end with bytes of one cell takes as many values of the counter.
_BLOCK_BITS = 8
_new, _set = object.__new__, object.__setattr__
_UNKNOWN = SafeUUID.unknown  # a look-up in an enum takes as long as the rest of an id


class IdMaker:
    """Source of ids by a clock, each larger than all before, even where the clock is set back.

    The milliseconds are followed by a counter of 42 bits, which restarts below its half in each millisecond (RFC 9562,
    section 6.2, method 1), and 32 random bits. Half of the counter lasts for weeks if the clock stops.

    Args:
        clock: seconds since 1970.
        of_bytes: makes an id of 16 bytes.
        cell: the cell of all ids, which their last bytes name.
    """

    __slots__ = ("_any_of_bytes", "_cell", "_clock", "_counter", "_milliseconds", "_of_bytes")

    def __init__(
        self, clock: Callable[[], float], of_bytes: Callable[[bytes], UUID] | None = None, cell: CellNumber = ONLY
    ) -> None:
        self._clock = clock
        self._any_of_bytes = of_bytes or id_of_bytes
        self._of_bytes = self._any_of_bytes if cell == ONLY else _of_cell(self._any_of_bytes, cell)
        self._cell = cell
        self._milliseconds = self._counter = 0

    @property
    def cell(self) -> CellNumber:
        """Cell of all ids."""
        return self._cell

    def new(self) -> UUID:
        """Makes the next id."""
        milliseconds = int(self._clock() * 1000)
        if milliseconds > self._milliseconds:
            self._milliseconds, self._counter = milliseconds, getrandbits(41)
        else:
            self._counter += 1
        high, low = self._counter >> 30, self._counter & _LOW_30_BITS
        value = self._milliseconds << 80 | high << 64 | low << 32 | getrandbits(32) | _VERSION_AND_VARIANT
        return self._of_bytes(value.to_bytes(16))

    def block(self) -> "IdBlock":
        """Reserves ids of this moment, in order."""
        first = self.new()
        if self._cell == ONLY:
            return IdBlock(first, of_bytes=self._any_of_bytes)
        # The next multiple of the size of a block, which later ids follow.
        counter = (self._counter >> _BLOCK_BITS) + 1 << _BLOCK_BITS
        self._counter = counter + (1 << _BLOCK_BITS) - 1
        high, low = counter >> 30, counter & _LOW_30_BITS
        value = self._milliseconds << 80 | high << 64 | low << 32 | _VERSION_AND_VARIANT
        return IdBlock(UUID(int=value), self._cell, of_bytes=self._any_of_bytes)


def _of_cell(of_bytes: Callable[[bytes], UUID], cell: CellNumber) -> Callable[[bytes], UUID]:
    """Returns a maker of ids of a cell."""
    ends = [bytes([byte]) for byte in last_bytes(cell)]

    def made(content: bytes) -> UUID:
        return of_bytes(content[:15] + ends[content[15]])

    return made


def id_of_bytes(content: bytes) -> UUID:
    """Returns the id of 16 bytes, without the checks of its class, which take half of its time."""
    made = _new(UUID)
    _set(made, "int", int.from_bytes(content))
    _set(made, "is_safe", _UNKNOWN)
    return made


def new_job_id() -> UUID:
    """Returns a new id by the clock of this machine, for tests and tools: a service uses `DatabaseClock.ids`."""
    made: UUID = _uuid7()
    return made


class IdBlock:
    """Ids of the moment of the given id, in order, up to 2**31 of them; each is determined by its index (RFC 9562,
    section 6.2, method 2; the last 32 bits of an id made here are random). With several cells, all are of one.
    """

    __slots__ = ("_cell", "_first", "_of_bytes", "_of_each_byte")

    def __init__(
        self, first: UUID, cell: CellNumber = ONLY, *, of_bytes: Callable[[bytes], UUID] = id_of_bytes
    ) -> None:
        self._first = first.int >> 31 << 31
        self._of_bytes = of_bytes
        self._cell = cell
        self._of_each_byte = 256 // cell.count  # numbers of one byte that are of the cell

    def __getitem__(self, place: int) -> UUID:
        cell = self._cell
        if cell == ONLY:
            return self._of_bytes((self._first + place).to_bytes(16))
        high, low = divmod(place, self._of_each_byte)
        return self._of_bytes((self._first + (high << 8 | low * cell.count + cell.number)).to_bytes(16))


def child_id(parent: UUID, name: str, place: int = 0) -> UUID:
    """Returns the id of the job that a parent submits under this name; equal arguments give equal ids.

    It contains the parent's time, and ends with the parent's last byte. Under one name, ids sort by their index, which
    is below 2**20. The remaining 46 bits are a hash of the parent and the name.
    """
    digest = int.from_bytes(blake2b(parent.bytes + name.encode(), digest_size=6).digest(), "big")
    high, low = digest >> 36, digest & ((1 << 34) - 1)
    version, variant = 7 << 76, 2 << 62
    return UUID(int=parent.int >> 80 << 80 | version | high << 64 | variant | low << 28 | place << 8 | parent.int & 255)


def idempotency_token(job_id: UUID) -> str:
    """Returns the idempotency token of a job's calls to other services: the same in every attempt."""
    return f"duly-{job_id}"


def smallest_id_at(moment: datetime) -> UUID:
    """Returns the lower bound of ids made at or after this moment (with a time zone); 0 for a moment before 1970."""
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


def earlier(job_id: UUID, *, seconds: float) -> UUID:
    """Returns the lower bound of ids made up to `seconds` before this one."""
    milliseconds = (job_id.int >> 80) - int(seconds * 1000)
    return UUID(int=max(milliseconds, 0) << 80)


def made_at(job_id: UUID) -> datetime:
    """Returns the time in an id."""
    return datetime.fromtimestamp((job_id.int >> 80) / 1000, UTC)


def event_id(job_id: UUID, sequence: int) -> UUID:
    """Returns the id of an event, which is a function of the job and the sequence, so it is equal on each read and
    delivery: that of `uuid5`.
    """
    return UUID(event_id_text(job_id, sequence))


def event_id_text(job_id: UUID, sequence: int) -> str:
    """Returns the id of an event as text, in a third of the time that the id and then its text take."""
    digest = sha1(job_id.bytes + b"%d" % sequence, usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"


def parse_job_id(text: str) -> UUID | None:
    """Returns the id in a path; None unless it is the canonical text, in either case (RFC 9562, section 4)."""
    try:
        job_id = UUID(text)
    except ValueError:
        return None
    return job_id if str(job_id) == text.lower() else None
