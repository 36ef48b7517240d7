"""Job ids: UUIDv7, so that an id tells its time and ids made later sort later (RFC 9562, section 5.7)."""

from datetime import UTC, datetime
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7 as _uuid7

SMALLEST = UUID(int=0)


def new_job_id() -> UUID:
    """A fresh id, larger than every id this process made before."""
    made: UUID = _uuid7()
    return made


def smallest_id_at(moment: datetime) -> UUID:
    """The lower bound of all ids made at or after this moment (which has a time zone); 0 for one before 1970."""
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


def earlier(job_id: UUID, *, seconds: float) -> UUID:
    """The lower bound of all ids made up to `seconds` before this one."""
    milliseconds = (job_id.int >> 80) - int(seconds * 1000)
    return UUID(int=max(milliseconds, 0) << 80)


def made_at(job_id: UUID) -> datetime:
    return datetime.fromtimestamp((job_id.int >> 80) / 1000, UTC)


def event_id(job_id: UUID, sequence: int) -> UUID:
    """An event's id follows from its job and place, so it is the same on every read and every delivery."""
    return uuid5(job_id, str(sequence))


def parse_job_id(text: str) -> UUID | None:
    """The id that a path names, or None: only the canonical text counts, in either case (RFC 9562, section 4)."""
    try:
        job_id = UUID(text)
    except ValueError:
        return None
    return job_id if str(job_id) == text.lower() else None
