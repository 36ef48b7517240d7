"""What must hold of every job at any quiet moment: its events are gapless, and tell the same as where it stands."""

from collections import defaultdict
from typing import Any

import asyncpg

from duly.domain.events import Event, EventKind, Status, fold

PLACES = """
select job_id, 'ready' as place, sequence, attempt from ready
union all select job_id, 'scheduled', sequence, attempt from scheduled
union all select job_id, 'running', sequence, attempt from running
"""
EVENTS = """
select tenant_id, job_id, 0 as sequence, 0 as kind, 0 as attempt, created_at as occurred_at from jobs
union all select tenant_id, job_id, sequence, kind, attempt, occurred_at from events
order by job_id, sequence
"""
STATUS_OF_PLACE = {"ready": Status.PENDING, "scheduled": Status.PENDING, "running": Status.RUNNING}


async def violations(url: str) -> list[str]:
    """Every breach of a promise that the tables of this database show; empty where there is none."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            places = await connection.fetch(PLACES)
            events = await connection.fetch(EVENTS)
            orphans = await connection.fetch(
                "select delivery_id from deliveries d where not exists "
                "(select from events e where e.job_id = d.job_id and e.sequence = d.sequence)"
            )
    finally:
        await connection.close()
    found = [f"delivery {row[0]} tells of an event that does not exist" for row in orphans]
    return found + _of_jobs(places, events)


def _of_jobs(places: list[Any], events: list[Any]) -> list[str]:
    standing: dict[Any, list[Any]] = defaultdict(list)
    for place in places:
        standing[place["job_id"]].append(place)
    histories: dict[Any, list[Event]] = defaultdict(list)
    for row in events:
        kind = EventKind(row["kind"])
        histories[row["job_id"]].append(
            Event(row["tenant_id"], row["job_id"], row["sequence"], kind, row["attempt"], row["occurred_at"], "", None)
        )
    found = [
        f"job {job_id} stands in a hot table but was never recorded" for job_id in standing if job_id not in histories
    ]
    for job_id, history in histories.items():
        found += _of_one(job_id, history, standing[job_id])
    return found


def _of_one(job_id: Any, history: list[Event], places: list[Any]) -> list[str]:
    try:
        state = fold(history)
    except ValueError as error:
        return [str(error)]
    ended = state.status not in {Status.PENDING, Status.RUNNING}
    if len(places) != (0 if ended else 1):
        return [f"job {job_id} is {state.status} by its events and stands in {[place['place'] for place in places]}"]
    if ended:
        return []
    place = places[0]
    told = (state.status, state.sequence, state.attempt)
    stands = (STATUS_OF_PLACE[place["place"]], place["sequence"], place["attempt"])
    return [] if told == stands else [f"job {job_id}: its events tell {told}, its row {stands}"]
