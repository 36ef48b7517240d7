"""Composition of job types: what a node knows of them, and what it declares at its start."""

from duly.domain.database_clock import DatabaseClock
from duly.domain.sealing import Keyring
from duly.handlers.registry import Registry
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.job_types.declare import JobTypeDeclarer
from duly.lifecycle.job_types.declare_handlers import HandlerDeclarer
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.schedules.declare import ScheduleDeclarer
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.settings import Settings
from duly.store.postgres.database import Database


class JobTypeParts:
    """The known types, the builder of their jobs, and what declares types and schedules."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        registry: Registry,
        wakeups: Wakeups,
        *,
        keyring: Keyring,
        clock: DatabaseClock,
        node: str,
    ) -> None:
        self._cell = clock.cell
        self.known = KnownTypes(registry, database)
        self.builder = JobBuilder(
            self.known,
            parameters_limit=settings.parameters_limit,
            egress=settings.egress,
            keyring=keyring,
            clock=clock,
        )
        self.declarer = JobTypeDeclarer(database, wakeups, self.known, registry)
        self.handlers = HandlerDeclarer(database, wakeups, registry)
        self.schedules = ScheduleDeclarer(
            database,
            registry,
            self.known,
            self.builder,
            keyring=keyring,
            json_depth=settings.json_depth,
            node=node,
        )

    async def declare(self) -> None:
        """Declares the types and schedules of the handlers of a worker.

        Raises:
            DatabaseError: they cannot be recorded.
            HandlerError: a schedule is invalid.
        """
        await self.handlers.declare()
        await self.schedules.declare(self._cell)
