"""Sends failed webhooks again: all of an endpoint by a replay, or one delivery by hand.

A replay is a row with its progress. Each round writes some deliveries in one transaction with that row: after a crash
it continues there, and no delivery enters the outbox twice.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog

from duly.domain.database_clock import DatabaseClock
from duly.errors import (
    AttemptsExhausted,
    Conflict,
    DeliveryInFlight,
    EndpointDeleted,
    EndpointDisabled,
    JobDeleted,
    NotFound,
)
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.writes.bisection import note_fault
from duly.lifecycle.writes.round_size import SkippedRows
from duly.store.postgres.database import Connection, Database, DatabaseOutage
from duly.store.webhooks.endpoints import read_endpoint
from duly.store.webhooks.replays import (
    MOST_ATTEMPTS,
    Key,
    Replay,
    ResendRefusal,
    collect,
    count_due,
    find_open_replays,
    hold_replay,
    insert_replay,
    resend,
)
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.replay")

BATCH = 500
OPEN_AT_ONCE = 100
# Due deliveries of one receiver beyond which a replay adds none, so that current webhooks are not delayed behind it.
MOST_DUE = 1_000
LOOK_SECONDS = 1.0
TRIES = 3


class Replayer:
    """Begins replays; `step` adds what they find to the outbox."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        metrics: Metrics,
        *,
        clock: DatabaseClock,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._metrics = metrics
        self._clock = clock
        self._aside: SkippedRows[Key] = SkippedRows(metrics, statement="replay")
        self._wake = wake

    async def begin(
        self, tenant_id: int, endpoint_id: UUID, *, since: datetime, replay_id: UUID | None = None
    ) -> Replay:
        """Begins to send again the deliveries of an endpoint that have failed since a time.

        Args:
            tenant_id: the tenant.
            endpoint_id: the endpoint.
            since: the time.
            replay_id: the id of the replay, of which each cell has a part (default: a new one).

        Raises:
            NotFound: this tenant has no such endpoint.
            EndpointDisabled: it receives nothing.
        """
        key = (tenant_id, replay_id or self._clock.ids.new())
        async with self._database.connection() as connection:
            endpoint = await read_endpoint(connection, (tenant_id, endpoint_id))
            if endpoint is None:
                raise NotFound("Webhook not found.")
            if endpoint.disabled_at is not None:
                raise _disabled()
            begun = await insert_replay(connection, key, endpoint_id, since=since)
        self._wake()
        return begun

    async def step(self) -> float:
        """Runs one round of its loop: some deliveries of each replay. Returns the seconds until the next."""
        exclude = [replay_id for _, replay_id in self._aside.present()]
        async with self._database.background() as connection:
            keys = await find_open_replays(connection, limit=OPEN_AT_ONCE, exclude=exclude)
        moved = [await self._collect_or_leave(key) for key in keys]
        return 0 if any(moved) else LOOK_SECONDS

    async def _collect_or_leave(self, key: Key) -> bool:
        """Runs `_collect`; a replay that is refused is skipped for a while, so that the others continue."""
        try:
            async with self._database.background() as connection:
                moved = await self._collect(connection, key)
        except DatabaseOutage:
            raise
        except Exception as error:  # noqa: BLE001  # any error: the other replays continue
            note_fault(error, "replay", self._metrics)
            self._aside.put(key, error)
            return False
        self._aside.done([key])
        return moved

    async def _collect(self, connection: Connection, key: Key) -> bool:
        """Adds some deliveries of one replay. Returns True if there were any, and room for them."""
        async with connection.transaction():
            replay = await hold_replay(connection, key)
            if replay is None:
                return False
            room = MOST_DUE - await count_due(connection, replay.endpoint_id, most=MOST_DUE)
            if room <= 0:
                return False
            collected = await collect(connection, replay, limit=min(BATCH, room))
        if collected.added:
            log.info(
                f"replay queued {collected.added:,} deliveries",
                action="replay_collected",
                replay_id=str(key[1]),
                count=collected.added,
            )
            self._wakeups.deliveries()
        return collected.walked > 0


async def redeliver(database: Database, wakeups: Wakeups, key: Key) -> None:
    """Sends one delivery (tenant, id) again, with its whole retry schedule.

    Raises:
        NotFound: this tenant has no such delivery.
        DeliveryInFlight: it is being sent now.
        EndpointDisabled, NotResendable: its receiver or its content is gone.
    """
    for _ in range(TRIES):
        async with database.pinned() as connection:
            resent = await resend(connection, key)
        if resent is None:
            raise NotFound("Delivery not found.")
        if resent.refusal is not None:
            raise _refused(resent.refusal)
        if resent.done:
            wakeups.deliveries()
            return
        if resent.in_outbox:
            break
    raise DeliveryInFlight("Delivery in progress.", reason="Check its result, then retry.")


def _refused(refusal: ResendRefusal) -> Conflict:
    """Returns the error for a delivery that cannot be sent again."""
    match refusal:
        case ResendRefusal.ENDPOINT_DISABLED:
            return _disabled()
        case ResendRefusal.ENDPOINT_DELETED:
            return EndpointDeleted("The delivery's webhook was deleted.", reason="It has no receiver.")
        case ResendRefusal.JOB_DELETED:
            return JobDeleted("The delivery's job is past retention.", reason="Its content is gone.")
        case ResendRefusal.ATTEMPTS_EXHAUSTED:
            return AttemptsExhausted(
                f"The delivery has used all of its {MOST_ATTEMPTS} attempts.", reason="It cannot be sent again."
            )


def _disabled() -> EndpointDisabled:
    return EndpointDisabled("The webhook is disabled.", reason="Enable it first. Until then it receives nothing.")
