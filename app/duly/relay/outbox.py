"""Reads and ticks off rows of an outbox, through SQLAlchemy."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Engine, bindparam, create_engine, event, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from duly.relay.outbox_table import DIALECTS

# A relay that is killed keeps its rows for this long; then another one submits them, and the service answers with the
# first job, since their ids are idempotency keys.
CLAIM_SECONDS = 60.0
LONGEST_ERROR = 2_000


class UnknownDatabase(Exception):
    """Database of a kind that the relay does not read."""


def open_outbox(url: str, *, deletes: bool = False) -> "Outbox":
    """Returns the outbox of an SQLAlchemy URL; connects when it is used.

    Raises:
        UnknownDatabase: the URL is malformed, its driver is not installed, or the database is of another kind.
    """
    try:
        return Outbox(create_engine(url, pool_pre_ping=True), deletes=deletes)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise UnknownDatabase(str(error)) from None


class OutboxRow(NamedTuple):
    """Submission in the outbox. Parameters and options are JSON text.

    `doubt_seconds` ago a relay began to submit it and noted no answer; 0 if there was none before this claim.
    """

    id: str
    type: str
    parameters: str
    options: str
    doubt_seconds: float = 0.0


READ_CLAIMED = """
select id, type, parameters, options, claimed_until - in_doubt_since - :seconds
from duly_outbox where claim = :claim order by created_at, id
"""
TICK_OFF = """
update duly_outbox set submitted_at = current_timestamp, job_id = :job_id, claim = null where id = :id
"""
DELETE = "delete from duly_outbox where id = :id"
SET_ASIDE = """
update duly_outbox set error = :error, claim = null, claimed_until = 0, in_doubt_since = null where id = :id
"""
PUT_OFF = "update duly_outbox set claim = null, claimed_until = {now} + :seconds where id in :ids"
# The rows are certainly not submitted.
PUT_OFF_UNSENT = PUT_OFF.replace("claim = null,", "claim = null, in_doubt_since = null,")
# Two numbers of the database's clock that are equal may differ by this, once they have been added to.
ROUNDING_SECONDS = 0.01


class Outbox:
    """Outbox in one database.

    Args:
        deletes: rows are deleted instead of ticked off.

    Raises:
        UnknownDatabase: it is of another kind.
    """

    def __init__(self, engine: Engine, *, deletes: bool = False) -> None:
        if engine.dialect.name not in DIALECTS:
            raise UnknownDatabase(f"the relay reads {', '.join(DIALECTS)}, not {engine.dialect.name}")
        dialect = DIALECTS[engine.dialect.name]
        if dialect.any_bytes:
            event.listen(engine, "connect", _read_any_bytes)
        self._engine = engine
        self._deletes = deletes
        self._claim = text(dialect.claim)
        self._put_off, self._put_off_unsent = (
            text(statement.format(now=dialect.now)).bindparams(bindparam("ids", expanding=True))
            for statement in (PUT_OFF, PUT_OFF_UNSENT)
        )

    def claim(self, limit: int) -> list[OutboxRow]:
        """Claims the oldest rows that no other relay has claimed."""
        claim = uuid.uuid4().hex
        with self._engine.begin() as connection:
            connection.execute(self._claim, {"claim": claim, "seconds": CLAIM_SECONDS, "limit": limit})
            found = connection.execute(text(READ_CLAIMED), {"claim": claim, "seconds": CLAIM_SECONDS})
            rows = [_row(*row) for row in found]
        return [row if row.doubt_seconds > ROUNDING_SECONDS else row._replace(doubt_seconds=0.0) for row in rows]

    def settle(self, submitted: Mapping[str, str], refused: Mapping[str, str]) -> None:
        """Ticks rows off, and sets others aside with their error.

        Args:
            submitted: id of the job by id of the row.
            refused: error by id of the row.
        """
        done = [{"id": row_id, "job_id": job_id} for row_id, job_id in submitted.items()]
        aside = [{"id": row_id, "error": error[:LONGEST_ERROR]} for row_id, error in refused.items()]
        with self._engine.begin() as connection:
            if done:
                connection.execute(text(DELETE if self._deletes else TICK_OFF), done)
            if aside:
                connection.execute(text(SET_ASIDE), aside)

    def put_off(self, ids: Sequence[str], *, seconds: float, in_doubt: bool) -> None:
        """Lets these rows wait; no relay claims them before.

        Args:
            ids: ids of the rows.
            seconds: time to wait.
            in_doubt: they may have been submitted.
        """
        with self._engine.begin() as connection:
            statement = self._put_off if in_doubt else self._put_off_unsent
            connection.execute(statement, {"ids": list(ids), "seconds": seconds})


def _read_any_bytes(connection: Any, _record: object) -> None:
    """Lets a connection of SQLite read text that is not UTF-8, instead of failing for all rows."""
    connection.text_factory = _as_text


def _row(row_id: object, job_type: object, parameters: object, options: object, doubt_seconds: float) -> OutboxRow:
    return OutboxRow(_as_text(row_id), _as_text(job_type), _as_text(parameters), _as_text(options), doubt_seconds)


def _as_text(value: object) -> str:
    """Returns a value of a column as text. SQLite keeps bytes where they were inserted into a column of text; those
    that are not UTF-8 become lone surrogates, which no submission may contain.
    """
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)
