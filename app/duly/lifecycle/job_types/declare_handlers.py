"""Declares the types of this node's handlers at its start, and compares waiting jobs with those that have changed."""

import structlog

from duly.domain.declared_type import EVERY_TENANT
from duly.errors import Unavailable
from duly.handlers.registry import RegisteredHandler, Registry
from duly.handlers.serialization import ParametersInvalid, read_parameters
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.job_types.handler_declarations import declaration_of
from duly.lifecycle.job_types.waiting_jobs import compare_waiting_jobs
from duly.store.postgres.database import Database
from duly.store.queue.declared_types import declare_handler_types

log = structlog.stdlib.get_logger("duly.job_types")

LONG_SECONDS = 3600.0
# A start on a full queue runs jobs first: the comparison reads up to 10,000 of them for each type.
START_SECONDS = 2.0


class HandlerDeclarer:
    """Declares the types of the handlers of a worker."""

    def __init__(self, database: Database, wakeups: Wakeups, registry: Registry) -> None:
        self._database = database
        self._wakeups = wakeups
        self._registry = registry
        self._changed: list[str] = []
        self._starting = True

    async def declare(self) -> None:
        """Declares all types for every tenant.

        Several nodes may start at the same time: what is declared already is not written. With handlers of two
        releases, the declaration is that of the node that started last.
        """
        declarations = [declaration_of(handler) for handler in self._registry.values()]
        async with self._database.connection() as connection:
            self._changed = await declare_handler_types(connection, declarations)
        if self._changed:
            names = ", ".join(self._changed)
            log.info(f"declared job types: {names}", action="job_types_declared", job_types=list(self._changed))
            self._wakeups.job_types()

    async def step(self) -> float:
        """Compares the waiting jobs of one type that has changed, two seconds after the start, and logs a warning if
        some do not fit. They stay accepted: the code decides, and their attempts will fail.
        """
        if not self._changed:
            return LONG_SECONDS
        if self._starting:
            self._starting = False
            return START_SECONDS
        await self._compare(self._registry[self._changed[-1]])
        self._changed.pop()
        return 0.0

    async def _compare(self, handler: RegisteredHandler) -> None:
        def fits(text: str) -> bool:
            try:
                read_parameters(handler, text)
            except ParametersInvalid:
                return False
            return True

        try:
            compared = await compare_waiting_jobs(self._database, EVERY_TENANT, handler.type, fits)
        except Unavailable as error:
            log.warning(error.message, action="waiting_jobs_not_compared", job_type=handler.type)
            return
        if compared.unfit:
            log.warning(
                f'{compared.unfit} of {compared.examined} waiting jobs of type "{handler.type}" do not fit the '
                "parameters of its handler; their attempts will fail",
                action="waiting_jobs_do_not_fit",
                job_type=handler.type,
                jobs=compared.unfit,
                examined=compared.examined,
            )
