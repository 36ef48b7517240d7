"""Collects the end of a chaos run: waits until everything has ended, and reads it over the API."""

import asyncio
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.chaos.database import ChaosDatabase
from tests.chaos.facts import Facts, Record, Streamed
from tests.chaos.traffic import SCHEDULE, Nodes
from tests.support.service import eventually
from tests.support.service_process import Processes

END_SECONDS = 900.0
AT_ONCE = 16
PAGE = 200
QUIET_SECONDS = 180.0  # more than readers need to find that a connection is dead, also on a starved machine
END_FRAMES = {"job_completed", "job_failed", "job_cancelled"}


async def await_ends(nodes: Nodes, job_ids: Sequence[str]) -> None:
    """Waits until all accepted jobs have ended; jobs that do not are left to the checker."""
    unfinished = set(job_ids)

    async def ended() -> bool:
        nonlocal unfinished
        unfinished &= {job["jobId"] for job in await _list(nodes, "status=pending&status=running")}
        return not unfinished

    try:
        await eventually(ended, seconds=END_SECONDS)
    except TimeoutError:
        print(f"  {len(unfinished)} jobs have not ended, such as {min(unfinished)}")


async def end_schedule(nodes: Nodes) -> list[Any]:
    """Pauses the schedule once it is not behind, and returns its runs."""

    async def caught_up() -> bool:
        due = (await nodes.request("GET", SCHEDULE)).json()["nextRunAt"]
        return datetime.fromisoformat(due) > datetime.now(UTC)

    await eventually(caught_up, seconds=END_SECONDS)
    answer = await nodes.request("PATCH", SCHEDULE, json={"paused": True})
    assert answer.status_code == 200, answer.text
    return await _all(nodes, f"{SCHEDULE}/runs?limit={PAGE}")


async def followers_done(facts: Facts, job_ids: Collection[str]) -> None:
    """Waits until all whole streams have shown the ends of these jobs; what they do not show is left to the checker."""
    unseen = {reader: set(job_ids) for reader in facts.whole_streams}
    read, quiet_since = 0, time.monotonic()

    async def seen() -> bool:
        nonlocal read, quiet_since
        frames: list[Streamed] = facts.streamed[read:]
        read += len(frames)
        quiet_since = time.monotonic() if frames else quiet_since
        for frame in frames:
            if frame.reader in unseen and frame.event in END_FRAMES:
                unseen[frame.reader].discard(frame.job_id)
        return not any(unseen.values()) or time.monotonic() - quiet_since > QUIET_SECONDS

    await eventually(seen, seconds=END_SECONDS)


async def records(nodes: Nodes, facts: Facts) -> dict[str, Record]:
    """Reads every job of the database, and those that were accepted, with their events."""
    ids = {job["jobId"] for job in await _list(nodes, "")} | {accepted.job_id for accepted in facts.accepted}
    found: dict[str, Record] = {}
    free = asyncio.Semaphore(AT_ONCE)

    async def read(job_id: str) -> None:
        async with free:
            answer = await nodes.request("GET", f"/api/v1/jobs/{job_id}")
            if answer.status_code == 200:
                found[job_id] = Record(answer.json(), await _all(nodes, f"/api/v1/jobs/{job_id}/events"))

    await asyncio.gather(*map(read, ids))
    return found


async def _list(nodes: Nodes, query: str) -> list[Any]:
    return await _all(nodes, f"/api/v1/jobs?limit={PAGE}&{query}")


async def _all(nodes: Nodes, path: str) -> list[Any]:
    """Returns the items of all pages."""
    items: list[Any] = []
    cursor = ""
    while True:
        more = f"{'&' if '?' in path else '?'}cursor={cursor}" if cursor else ""
        answer = await nodes.request("GET", f"{path}{more}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        cursor = page.get("nextCursor")
        if not cursor:
            return items


async def deliveries_done(database: ChaosDatabase) -> None:
    """Waits until no webhook is left to be sent. Those with a long pause before their next attempt are sent now."""

    async def done() -> bool:
        async with database.session() as connection:
            await connection.execute("update deliveries set due_at = now() where due_at > now() + interval '2 seconds'")
            return bool(await connection.fetchval("select not exists (select from deliveries)"))

    await eventually(done, seconds=END_SECONDS)


async def check_command(processes: Processes, database_url: str) -> str:
    """Returns what `duly check` finds; empty if all invariants hold."""
    command = processes.run("check", DULY_DATABASE_URL=database_url)
    code = await command.ended(seconds=END_SECONDS)
    return "" if code == 0 else f"{command.stdout}\n{command.stderr}".strip()
