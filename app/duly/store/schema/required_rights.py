"""Rights that a database role needs to serve, and to migrate."""

from typing import NamedTuple

from duly.store.postgres.catalog_types import Connection, only

TABLES = (
    *("alembic_version", "api_keys", "audit", "batch_tallies", "batches", "blocked", "breakers", "cell_record"),
    "checkpoints",
    "concurrency",
    *(
        "contractions",
        "control",
        "declared_types",
        "deliveries",
        "delivery_attempts",
        "dependencies",
        "endings",
        "endpoints",
        "epochs",
        "events",
    ),
    *(
        "idempotency",
        "inbox",
        "job_logs",
        "jobs",
        "lease_ends",
        "leases",
        "limits",
        "messages",
        "minute_figures",
        "nodes",
    ),
    *("queue_names", "queues", "ready", "receivers", "replays", "retention_holds"),
    *(
        "running",
        "schedule_runs",
        "scheduled",
        "schedules",
        "secret_keys",
        "set_aside",
        "signals",
        "steps",
        "stream_tickets",
        "submitters",
        "tenants",
        "unique_keys",
    ),
)
READ_ONLY = ("alembic_version", "cell_record", "contractions", "epochs")

# A schema that the role may not use is not on its effective search path, so its tables are not found by name.
READ_SCHEMA = """
select current_user, quote_ident(coalesce(current_schema(), $1)), current_schema() is not null,
       exists (select from pg_namespace where nspname = $1)
"""
# Only tables that exist: the migrations create the others.
FIND_MISSING_RIGHTS = """
select quote_ident(name), array_remove(array[
    case when not has_table_privilege(oid, 'SELECT') then 'SELECT' end,
    case when writes and not has_table_privilege(oid, 'INSERT') then 'INSERT' end,
    case when writes and not has_table_privilege(oid, 'UPDATE') then 'UPDATE' end,
    case when writes and not has_table_privilege(oid, 'DELETE') then 'DELETE' end
], null)
from (
    select name, to_regclass(quote_ident(name))::oid as oid, name <> all($2::text[]) as writes
    from unnest($1::text[]) as name
) as tables
where oid is not null
"""


class Rights(NamedTuple):
    """Missing rights of a role, as GRANT statements for the owner."""

    role: str
    grants: list[str]


async def missing_rights(connection: Connection, schema: str | None) -> Rights:
    """Returns the rights that the role of this connection lacks to serve."""
    role, name, usable, exists = only(await connection.fetchrow(READ_SCHEMA, schema or "public"))
    if not usable:
        return Rights(role, [f"GRANT USAGE ON SCHEMA {name} TO {role}"] if exists else [])
    lacked: dict[tuple[str, ...], list[str]] = {}
    for table, rights in await connection.fetch(FIND_MISSING_RIGHTS, TABLES, READ_ONLY):
        if rights:
            lacked.setdefault(tuple(rights), []).append(table)
    return Rights(role, [_grant(name, rights, tables, role) for rights, tables in lacked.items()])


# Rights on the schema of the tables, or on the database of a schema that does not exist.
READ_RIGHTS_TO_MIGRATE = """
select current_user, quote_ident(name), quote_ident(current_database()),
       exists (select from pg_namespace where nspname = name),
       case when exists (select from pg_namespace where nspname = name)
            then has_schema_privilege(name, 'USAGE') and has_schema_privilege(name, 'CREATE')
            else has_database_privilege(current_database(), 'CREATE') end
from (select coalesce($1::text, current_schema(), 'public') as name) as target
"""


async def missing_rights_to_migrate(connection: Connection, schema: str | None) -> Rights:
    """Returns the rights that the role of this connection lacks to create the tables."""
    role, name, database, exists, may = only(await connection.fetchrow(READ_RIGHTS_TO_MIGRATE, schema))
    if may:
        return Rights(role, [])
    what = f"USAGE, CREATE ON SCHEMA {name}" if exists else f"CREATE ON DATABASE {database}"
    return Rights(role, [f"GRANT {what} TO {role}"])


def _grant(schema: str, rights: tuple[str, ...], tables: list[str], role: str) -> str:
    """Returns one GRANT for these tables; for the whole schema if more than half of all tables lack the right."""
    if len(tables) > len(TABLES) / 2:
        return f"GRANT {', '.join(rights)} ON ALL TABLES IN SCHEMA {schema} TO {role}"
    return f"GRANT {', '.join(rights)} ON {', '.join(f'{schema}.{table}' for table in tables)} TO {role}"
