"""Creates, changes and deletes schedules."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from duly.domain.audit import Actor, AuditEntry
from duly.domain.cron import CronRefused, read_cron
from duly.domain.job_template import read_template, template
from duly.domain.json_writer import dump_text
from duly.domain.schedule import Recurrence, Schedule
from duly.domain.sealing import Keyring
from duly.domain.tenant import MOST_SCHEDULES
from duly.errors import Invalid, NotFound, PathError, ScheduleExists, ScheduleLimitReached, Unavailable
from duly.lifecycle.submit.insert_tied import unknown_dependencies
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.lifecycle.submit.submission_errors import nested_under
from duly.lifecycle.submit.submission_model import Submission, SubmissionOrigin
from duly.store.access.audit import record_change
from duly.store.postgres.database import Connection, Database
from duly.store.queue.schedules import Key, add_schedule, change_schedule, clock, has_room, hold_schedule, read_schedule
from duly.store.queue.schedules import delete_schedule as delete_record


def stored_submission(submission: Submission, builder: JobBuilder, *, tenant_id: int) -> dict[str, str]:
    """Returns the members of a `Recurrence` that hold its submission: `submission` as the API shows it again, without
    the callback secret, and `job`, the template of its jobs.

    Raises:
        Invalid, BodyTooLarge: the submission would be refused, alone or in a schedule; paths begin with `submission`.
    """
    if submission.run_at is not None:
        raise Invalid.at([PathError("submission.runAt", "is set by the schedule; leave it out, or use delaySeconds")])
    with nested_under("submission"):
        # The job belongs to no request: it gets a correlation id of its own whenever it is due.
        job = builder.job(submission, SubmissionOrigin(tenant_id, correlation_id=None, traceparent=None))
    shown = submission.model_dump(by_alias=True, exclude_unset=True, exclude={"callback_secret", "parameters"})
    if "parameters" in submission.model_fields_set:
        shown["parameters"] = submission.parameters
    return {"submission": dump_text(shown), "job": template(job)}


async def create_schedule(database: Database, key: Key, requested: Recurrence, *, by: Actor | None = None) -> Schedule:
    """Creates a schedule, which is due from now on.

    Raises:
        ScheduleExists: there is one of this name.
        ScheduleLimitReached: the tenant has as many schedules as it may.
        Invalid: the cron expression or the time zone is invalid, no time matches, or a job that its job depends on does
            not exist.
    """
    async with database.connection() as connection, connection.transaction():
        await _check_parents(connection, requested)
        next_run_at = next_after(requested, await clock(connection))
        if not await has_room(connection, key[0], most=MOST_SCHEDULES):
            raise ScheduleLimitReached.of()
        added = await add_schedule(connection, key, requested, next_run_at)
        if added is not None:
            entry = AuditEntry("schedule.created", key[1], None, _members(requested))
            await record_change(connection, key[0], by, entry)
    if added is None:
        raise ScheduleExists(
            f'There is a schedule called "{key[1]}" already.', reason="Change it with PATCH, or choose another name."
        )
    return added


async def update_schedule(
    database: Database, key: Key, changes: Mapping[str, Any], *, by: Actor | None = None
) -> Schedule:
    """Replaces members of a schedule. With another cron, time zone or pause, its next due time is computed from now.

    Raises:
        NotFound: there is none of this name.
        Invalid: as `create_schedule`.
    """
    async with database.connection() as connection, connection.transaction():
        held = await hold_schedule(connection, key)
        if held is None:
            raise schedule_not_found(key)
        requested: Recurrence = replace(held.recurrence, **changes)
        if "job" in changes:
            await _check_parents(connection, requested)
        return await _change(connection, held, requested, by=by)


async def _change(
    connection: Connection, held: Schedule, requested: Recurrence, *, by: Actor | None, declared: bool = False
) -> Schedule:
    """Replaces the definition of a schedule that the caller's transaction holds."""
    next_run_at = held.next_run_at
    if _times(requested) != _times(held.recurrence):
        kept = requested.cron == held.recurrence.cron
        next_run_at = next_after(requested, await clock(connection), kept=kept)
    entry = AuditEntry("schedule.changed", held.name, _members(held.recurrence), _members(requested))
    await record_change(connection, held.tenant_id, by, entry)
    return await change_schedule(connection, held.key, requested, next_run_at, declared=declared)


@dataclass(frozen=True, slots=True)
class Replacement:
    """Definition that replaces a schedule as a whole.

    Attributes:
        recurrence: the definition.
        keeps_pause: an existing schedule stays paused or not; `recurrence` says whether a new one is paused.
        declared: the code of a worker declares it.
        by: author of the change.
    """

    recurrence: Recurrence
    keeps_pause: bool
    by: Actor
    declared: bool = False


async def put_schedule(
    database: Database, key: Key, requested: Replacement, *, keyring: Keyring
) -> tuple[Schedule, bool]:
    """Creates a schedule, or replaces its definition. Returns it, and whether it is new. An equal definition is neither
    written nor audited, and its last run is kept in any case.

    Raises:
        Unavailable: another request deletes it at the same time.
        ScheduleLimitReached, Invalid: as `create_schedule`.
    """
    async with database.connection() as connection, connection.transaction():
        found = await read_schedule(connection, key)
        if found is not None and _is_same(found, requested, keyring):
            return found, False
        await _check_parents(connection, requested.recurrence)
        if found is None and (added := await _add(connection, key, requested)) is not None:
            return added, True
        held = await hold_schedule(connection, key)
        if held is None:
            raise Unavailable(f'The schedule "{key[1]}" is being deleted.', reason="Nothing was changed. Retry.")
        if _is_same(held, requested, keyring):  # another request created it meanwhile
            return held, False
        recurrence = _with_pause(held, requested)
        return await _change(connection, held, recurrence, by=requested.by, declared=requested.declared), False


async def _add(connection: Connection, key: Key, requested: Replacement) -> Schedule | None:
    """Creates a schedule; returns None if its name is taken meanwhile."""
    next_run_at = next_after(requested.recurrence, await clock(connection))
    if not await has_room(connection, key[0], most=MOST_SCHEDULES):
        raise ScheduleLimitReached.of()
    added = await add_schedule(connection, key, requested.recurrence, next_run_at, declared=requested.declared)
    if added is not None:
        entry = AuditEntry("schedule.created", key[1], None, _members(requested.recurrence))
        await record_change(connection, key[0], requested.by, entry)
    return added


def _with_pause(found: Schedule, requested: Replacement) -> Recurrence:
    recurrence = requested.recurrence
    return replace(recurrence, paused=found.recurrence.paused) if requested.keeps_pause else recurrence


def _is_same(found: Schedule, requested: Replacement, keyring: Keyring) -> bool:
    """Returns whether a schedule has this definition."""
    held, recurrence = found.recurrence, _with_pause(found, requested)
    if (requested.declared and not found.declared) or replace(recurrence, submission="", job="") != replace(
        held, submission="", job=""
    ):
        return False
    return json.loads(recurrence.submission) == json.loads(held.submission) and _job_members(
        recurrence.job, found.tenant_id, keyring
    ) == _job_members(held.job, found.tenant_id, keyring)


def _job_members(text: str, tenant_id: int, keyring: Keyring) -> dict[str, object]:
    """Returns a template without its id, and with its callback secret as plain text, since each sealing differs."""
    members: dict[str, object] = json.loads(text)
    members.pop("job_id", None)
    if isinstance(secret := members.get("callback_secret"), str):
        members["callback_secret"] = keyring.unseal(secret, tenant_id=tenant_id, purpose="callback")
    return members


async def delete_schedule(database: Database, key: Key, *, by: Actor | None = None) -> None:
    """Deletes a schedule.

    Raises:
        NotFound: there is none of this name.
    """
    async with database.connection() as connection, connection.transaction():
        held = await hold_schedule(connection, key)
        if held is None:
            raise schedule_not_found(key)
        await delete_record(connection, key)
        await record_change(connection, key[0], by, AuditEntry("schedule.deleted", key[1], _members(held.recurrence)))


def _members(recurrence: Recurrence) -> dict[str, Any]:
    """Returns a schedule for the audit log; of its submission, which may be large, the type only."""
    return {
        "cron": recurrence.cron,
        "timezone": recurrence.timezone,
        "type": json.loads(recurrence.submission).get("type"),
        "overlap": recurrence.overlap.name.lower(),
        "catchUp": recurrence.catch_up.name.lower(),
        "paused": recurrence.paused,
    }


async def _check_parents(connection: Connection, requested: Recurrence) -> None:
    [unknown] = await unknown_dependencies(connection, [read_template(requested.job)])
    if unknown:
        raise Invalid.at([PathError(f"submission.{path}", message) for path, message in unknown])


def _times(requested: Recurrence) -> tuple[object, ...]:
    return (requested.cron, requested.timezone, requested.paused)


def next_after(requested: Recurrence, moment: datetime, *, kept: bool = False) -> datetime | None:
    """Returns the next due time; None while the schedule is paused.

    Args:
        requested: the schedule.
        moment: now.
        kept: True if its expression was accepted before: see `read_cron`.

    Raises:
        Invalid: the expression is invalid or no time matches it, paused or not.
    """
    try:
        found = read_cron(requested.cron, requested.timezone, kept=kept).next_after(moment)
    except CronRefused as refused:
        raise Invalid.at(refused.errors) from None
    if found is None:
        raise Invalid.at([PathError("cron", "is never due: no time in the next 50 years matches")])
    return None if requested.paused else found


def schedule_not_found(key: Key) -> NotFound:
    """Returns the error for a schedule that does not exist."""
    return NotFound(f'There is no schedule called "{key[1]}".')
