"""Job ids: UUIDv7, which contain their time and sort by it (RFC 9562, section 5.7)."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from random import getrandbits
from uuid import UUID, SafeUUID, uuid5

from uuid_utils.compat import uuid7 as _uuid7

SMALLEST, LARGEST = UUID(int=0), UUID(int=(1 << 128) - 1)
_VERSION_AND_VARIANT = 7 << 76 | 2 << 62
_LOW_30_BITS = (1 << 30) - 1
_new, _set = object.__new__, object.__setattr__


class IdMaker:
    """Source of ids by a clock, each larger than all before, even where the clock is set back.

    The milliseconds are followed by a counter of 42 bits, which restarts below its half in each millisecond (RFC 9562,
    section 6.2, method 1), and 32 random bits. Half of the counter lasts for weeks if the clock stops.
    """

    __slots__ = ("_clock", "_counter", "_milliseconds")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._milliseconds = self._counter = 0

    def new(self) -> UUID:
        """Makes the next id."""
        milliseconds = int(self._clock() * 1000)
        if milliseconds > self._milliseconds:
            self._milliseconds, self._counter = milliseconds, getrandbits(41)
        else:
            self._counter += 1
        high, low = self._counter >> 30, self._counter & _LOW_30_BITS
        value = self._milliseconds << 80 | high << 64 | low << 32 | getrandbits(32) | _VERSION_AND_VARIANT
        # `UUID(int=value)` without its checks, which take half of its time.
        made = _new(UUID)
        _set(made, "int", value)
        _set(made, "is_safe", SafeUUID.unknown)
        return made

    def block(self) -> "IdBlock":
        """Reserves consecutive ids of this moment."""
        return IdBlock(self.new())


def new_job_id() -> UUID:
    """Returns a new id by the clock of this machine, for tests and tools: a service uses `DatabaseClock.ids`."""
    made: UUID = _uuid7()
    return made


class IdBlock:
    """Consecutive ids of the moment of the given id, up to 2**31 of them; each is determined by its index (RFC 9562,
    section 6.2, method 2; the last 32 bits of an id made here are random).
    """

    __slots__ = ("_first",)

    def __init__(self, first: UUID) -> None:
        self._first = first.int >> 31 << 31

    def __getitem__(self, place: int) -> UUID:
        return UUID(int=self._first + place)


def child_id(parent: UUID, name: str, place: int = 0) -> UUID:
    """Returns the id of the job that a parent submits under this name; equal arguments give equal ids.

    It contains the parent's time, and ends with the parent's last byte. Under one name, ids sort by their index, which
    is below 2**20. The remaining 46 bits are a hash of the parent and the name.
    """
    digest = int.from_bytes(blake2b(parent.bytes + name.encode(), digest_size=6).digest(), "big")
    high, low = digest >> 36, digest & ((1 << 34) - 1)
    version, variant = 7 << 76, 2 << 62
    return UUID(int=parent.int >> 80 << 80 | version | high << 64 | variant | low << 28 | place << 8 | parent.int & 255)


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
    delivery.
    """
    return uuid5(job_id, str(sequence))


def parse_job_id(text: str) -> UUID | None:
    """Returns the id in a path; None unless it is the canonical text, in either case (RFC 9562, section 4)."""
    try:
        job_id = UUID(text)
    except ValueError:
        return None
    return job_id if str(job_id) == text.lower() else None
