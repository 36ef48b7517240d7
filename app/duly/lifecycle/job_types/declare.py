"""Declares and deletes job types. A change is durable when the call returns, and known on all nodes within seconds."""

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from duly.domain.audit import Actor, AuditEntry
from duly.domain.declared_type import (
    EVERY_TENANT,
    MOST_DECLARED_TYPES,
    MOST_SCHEMA_BYTES_TOGETHER,
    DeclaredType,
    retry_members,
)
from duly.errors import JobTypeHasHandler, JobTypeInUse, JobTypeLimitReached, NotFound, WaitingJobsDoNotFit
from duly.handlers.registry import Registry
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.job_types.waiting_jobs import compare_waiting_jobs
from duly.store.access.audit import record_change
from duly.store.postgres.database import Connection, Database
from duly.store.queue.declared_types import (
    DeclaredRecord,
    declare_type,
    delete_declared_type,
    hold_declared_type,
    measure_declared_types,
    raise_types_version,
    read_declared_type,
)
from duly.store.queue.nodes import count_handling_nodes
from duly.store.read.waiting_jobs import count_unfinished

if TYPE_CHECKING:
    from duly.lifecycle.job_types.schema_validator import SchemaValidator

MOST_COUNTED = 10_000


class JobTypeDeclarer:
    """Declares the job types of tenants."""

    def __init__(self, database: Database, wakeups: Wakeups, types: KnownTypes, registry: Registry) -> None:
        self._database = database
        self._wakeups = wakeups
        self._types = types
        self._registry = registry

    async def declare(
        self,
        tenant_id: int,
        declared: DeclaredType,
        parameters: "SchemaValidator",
        *,
        by: Actor | None,
        force: bool = False,
    ) -> tuple[DeclaredRecord, bool]:
        """Declares a job type of a tenant, or replaces its declaration. Returns it, and whether it is new. An equal
        declaration is not written again.

        Args:
            tenant_id: the tenant.
            declared: the declaration.
            parameters: its compiled schema of parameters.
            by: the author of the change; None: it is not recorded in the audit log.
            force: True: waiting jobs may not fit the new schema.

        Raises:
            JobTypeHasHandler: Python handlers declare this type.
            WaitingJobsDoNotFit: waiting jobs do not fit the new schema.
            JobTypeLimitReached: the tenant has too many types or too large schemas.
            Unavailable: the waiting jobs could not be compared in time.
        """
        async with self._database.connection() as connection:
            known = await read_declared_type(connection, tenant_id, declared.type)
        self._check_handler(declared.type, known)
        if known is not None and known.declared == declared:
            return known, False
        if not force and (known is None or known.declared.parameters_schema != declared.parameters_schema):
            await self._check_waiting(tenant_id, declared.type, parameters)
        record, is_new = await self._record(tenant_id, declared, by=by)
        await self._changed()
        return record, is_new

    async def _check_waiting(self, tenant_id: int, job_type: str, parameters: "SchemaValidator") -> None:
        compared = await compare_waiting_jobs(self._database, tenant_id, job_type, parameters.fits)
        if compared.unfit:
            raise WaitingJobsDoNotFit.of(job_type, count=compared.unfit, examined=compared.examined)

    async def _record(self, tenant_id: int, declared: DeclaredType, *, by: Actor | None) -> tuple[DeclaredRecord, bool]:
        async with self._database.connection() as connection, connection.transaction():
            await _check_limits(connection, tenant_id, declared)
            held = await hold_declared_type(connection, tenant_id, declared.type)
            self._check_handler(declared.type, held)
            record = await declare_type(connection, tenant_id, declared)
            before = _members(held.declared) if held is not None else None
            entry = AuditEntry("job-type.declared", declared.type, before, _members(declared))
            await record_change(connection, tenant_id, by, entry)
            await raise_types_version(connection)
        return record, held is None

    async def delete(self, tenant_id: int, job_type: str, *, by: Actor | None, of_handlers: bool = False) -> None:
        """Deletes the declaration of a job type.

        Args:
            tenant_id: the tenant.
            job_type: the type.
            by: the author of the change; None: it is not recorded in the audit log.
            of_handlers: True: the type may be one that Python handlers have declared and no live worker does.

        Raises:
            NotFound: it is not declared.
            JobTypeHasHandler: Python handlers declare it.
            JobTypeInUse: jobs of this type wait or run.
        """
        async with self._database.connection() as connection, connection.transaction():
            held = await hold_declared_type(connection, tenant_id, job_type)
            if held is None:
                raise NotFound(f'Job type "{job_type}" is not declared.')
            if held.tenant_id == EVERY_TENANT:
                live = (await count_handling_nodes(connection)).get(job_type, 0)
                if not of_handlers or live or job_type in self._registry:
                    raise _has_handler(job_type)
            if count := await count_unfinished(connection, held.tenant_id, job_type, limit=MOST_COUNTED):
                raise in_use(job_type, count)
            await delete_declared_type(connection, held.tenant_id, job_type)
            entry = AuditEntry("job-type.deleted", job_type, _members(held.declared))
            await record_change(connection, tenant_id, by, entry)
            await raise_types_version(connection)
        await self._changed()

    def _check_handler(self, job_type: str, record: DeclaredRecord | None) -> None:
        if job_type in self._registry or (record is not None and record.tenant_id == EVERY_TENANT):
            raise _has_handler(job_type)

    async def _changed(self) -> None:
        """Applies a change on this node at once, and notifies the others."""
        await self._types.step()
        self._wakeups.job_types()


async def _check_limits(connection: Connection, tenant_id: int, declared: DeclaredType) -> None:
    """Checks the number of a tenant's types, and the size of their schemas. Locks the tenant."""
    count, length = await measure_declared_types(connection, tenant_id, exclude=declared.type)
    length += len(declared.parameters_schema) + len(declared.result_schema)
    if count >= MOST_DECLARED_TYPES:
        raise JobTypeLimitReached(
            f"Job type limit reached ({MOST_DECLARED_TYPES:,}).", reason="Nothing was changed. Delete one first."
        )
    if length > MOST_SCHEMA_BYTES_TOGETHER:
        raise JobTypeLimitReached(
            f"The schemas of all job types are too large (limit: {MOST_SCHEMA_BYTES_TOGETHER:,} bytes together).",
            reason="Nothing was changed. Delete a job type first, or declare smaller schemas.",
        )


def _members(declared: DeclaredType) -> dict[str, Any]:
    """Returns a declaration for the audit log; of its schemas, which may be large, the digest only."""
    schemas = f"{declared.parameters_schema}\n{declared.result_schema}"
    return {
        "description": declared.description,
        "timeoutSeconds": declared.timeout_seconds,
        "maxAttempts": declared.max_attempts,
        "retry": retry_members(declared.retry),
        "queue": declared.queue,
        "onExhausted": declared.on_exhausted,
        "schemas": sha256(schemas.encode()).hexdigest(),
    }


def _has_handler(job_type: str) -> JobTypeHasHandler:
    return JobTypeHasHandler(
        f'Job type "{job_type}" belongs to Python handlers.',
        reason="Nothing was changed. Its declaration changes with the handlers; choose another name for your own type.",
    )


async def count_users(database: Database, tenant_id: int, job_type: str) -> int:
    """Returns the number of unfinished jobs that keep the declaration of a type from being deleted, up to
    `MOST_COUNTED`: those of all tenants for a type that Python handlers have declared.
    """
    async with database.connection() as connection:
        held = await read_declared_type(connection, tenant_id, job_type)
        owner = held.tenant_id if held is not None else tenant_id
        return await count_unfinished(connection, owner, job_type, limit=MOST_COUNTED)


def in_use(job_type: str, count: int) -> JobTypeInUse:
    """Returns the error for a type that so many unfinished jobs use."""
    least = "at least " if count >= MOST_COUNTED else ""
    jobs = "1 unfinished job" if count == 1 else f"{least}{count:,} unfinished jobs"
    return JobTypeInUse(
        f'Job type "{job_type}" is in use by {jobs}.',
        reason="Nothing was changed. Wait for these jobs, or cancel them.",
        details={"jobs": count},
    )
