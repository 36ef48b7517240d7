"""Records the schedules that the code of this node declares."""

import structlog

from duly.domain.audit import Actor
from duly.domain.cells import ONLY, CellNumber, cell_of_key
from duly.domain.job import DEFAULT_TENANT
from duly.domain.schedule import CatchUp, Overlap, Recurrence
from duly.domain.sealing import Keyring
from duly.handlers.exceptions import HandlerError
from duly.handlers.registry import Registry
from duly.handlers.schedules import HandlerSchedule
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.schedules.manage import Replacement, put_schedule, stored_submission
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.lifecycle.submit.requested_submission import submission_value
from duly.lifecycle.submit.submission_errors import REFUSALS, path_errors
from duly.lifecycle.submit.submission_model import Submission
from duly.lifecycle.submit.validate_model import read_model
from duly.store.postgres.database import Database

log = structlog.stdlib.get_logger("duly.scheduler")


class ScheduleDeclarer:
    """Declares the schedules of the handlers of a worker, for the tenant `default`.

    Args:
        registry: has the schedules.
        types: the job types, by which their parameters are validated.
        builder: builds their jobs.
        keyring: seals their callback secrets.
        json_depth: deepest nesting of their parameters.
        node: name of this node, for the audit log.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        types: KnownTypes,
        builder: JobBuilder,
        *,
        keyring: Keyring,
        json_depth: int,
        node: str,
    ) -> None:
        self._database = database
        self._registry = registry
        self._types = types
        self._builder = builder
        self._keyring = keyring
        self._json_depth = json_depth
        self._by = Actor(f"worker:{node}")

    async def declare(self, cell: CellNumber = ONLY) -> None:
        """Creates or replaces the schedules of this cell. Several nodes may start at the same time: what is declared
        already is not written. A pause stays, and a schedule that the code no longer declares stays.

        Raises:
            HandlerError: a schedule is invalid.
        """
        own = [
            schedule
            for schedule in self._registry.schedules
            if cell_of_key(DEFAULT_TENANT, schedule.name, cell.count) == cell.number
        ]
        if own:
            await self._types.load([DEFAULT_TENANT])
        for schedule in own:
            try:
                await self._declare(schedule)
            except REFUSALS as error:
                faults = "; ".join(f"{path}: {message}".removeprefix(": ") for path, message in path_errors(error))
                raise HandlerError(f'schedule "{schedule.name}": {faults}') from None

    async def _declare(self, schedule: HandlerSchedule) -> None:
        value = submission_value(schedule.request, max_depth=self._json_depth)
        stored = stored_submission(read_model(Submission, value), self._builder, tenant_id=DEFAULT_TENANT)
        recurrence = Recurrence(
            cron=schedule.cron,
            timezone=schedule.timezone,
            overlap=Overlap[schedule.overlap.upper()],
            catch_up=CatchUp[schedule.catch_up.upper()],
            paused=False,
            **stored,
        )
        requested = Replacement(recurrence, keeps_pause=True, by=self._by, declared=True)
        key = (DEFAULT_TENANT, schedule.name)
        _, is_new = await put_schedule(self._database, key, requested, keyring=self._keyring)
        if is_new:
            log.info(f"declared schedule {schedule.name}", action="schedule_declared", schedule=schedule.name)
