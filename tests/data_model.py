"""The page of the data model, `docs/internals/data-model.md`: diagrams from the metadata of the tables.

python -m tests.data_model   rewrites the page; a test compares it with the metadata
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from duly.store.schema.tables import metadata

PAGE = Path(__file__).parents[1] / "docs" / "internals" / "data-model.md"
INTRODUCTION = """\
# Data model

The tables of Duly, by topic. They are internal: read and change them through the HTTP API and the command line. The
diagrams are generated from the declared tables (`python -m tests.data_model`), and a test compares them.

There are no foreign keys. Days of the ledger are dropped whole, and a check of each row would cost the hot statements
a look-up. Lines in the diagrams are references by value; `duly check` verifies those that an invariant depends on. Why
the ledger is separate from the hot tables: [architecture](architecture.md) and
[decision 2](../decisions/0002-append-only-ledger-and-hot-tables.md).

`null` marks columns that may be null. `marks` holds bits for further work when a job starts or ends; `sequence` is the
position in a job's history; `token` is the lease token. `tx` is the transaction that wrote the row, in a
number that rises across restores.
"""


class Reference(NamedTuple):
    """One line of a diagram: `target.key` is the value in `source.column`."""

    target: str
    key: str
    source: str
    column: str
    # In Mermaid's notation, from the target to the source.
    cardinality: str = "||--o{"


class Topic(NamedTuple):
    title: str
    text: str
    purposes: dict[str, str]
    references: tuple[Reference, ...]


MANY, ONE = "||--o{", "||--o|"
TOPICS = (
    Topic(
        "Ledger",
        "Append-only, partitioned by day, and dropped a day at a time after the retention.",
        {
            "jobs": "submissions; event 0 of each job",
            "events": "what happened to each job, by sequence",
            "job_logs": "lines logged by handlers",
            "lease_ends": "ends reported by workers over HTTP, by which repeated requests are recognised",
            "steps": "recorded steps and waits of each job, by name; their values are in `events`",
            "signals": "signals sent to each job, by name; their values are in `events`",
        },
        (
            Reference("jobs", "job_id", "events", "job_id", MANY),
            Reference("jobs", "job_id", "job_logs", "job_id", MANY),
            Reference("jobs", "job_id", "lease_ends", "job_id", MANY),
            Reference("jobs", "job_id", "steps", "job_id", MANY),
            Reference("jobs", "job_id", "signals", "job_id", MANY),
        ),
    ),
    Topic(
        "Current state",
        "Hot tables. A job that has not ended has a row in one of `ready`, `scheduled`, `blocked`, `running`.",
        {
            "ready": "jobs that may start, by lane: tenant, queue, type and priority",
            "scheduled": "jobs that wait for a time (delay, schedule, retry, timer), a signal or a retry by hand",
            "blocked": "jobs that wait for other jobs or for a concurrency key",
            "running": "attempts in progress, with their node and deadline",
            "leases": "leases of attempts that run on workers over HTTP",
            "checkpoints": "newest checkpoint of an unfinished job",
            "set_aside": "outcomes that the database rejected; retried",
            "inbox": "submissions from transactions of other programs, until they are recorded",
            "nodes": "processes with their roles, slots and heartbeats",
        },
        (
            Reference("nodes", "node_id", "running", "node_id", MANY),
            Reference("running", "job_id", "leases", "job_id", "||--o|"),
            Reference("running", "job_id", "checkpoints", "job_id", "|o--o|"),
            Reference("running", "job_id", "set_aside", "job_id", "|o--o{"),
        ),
    ),
    Topic(
        "Batches, keys and dependencies",
        "Written for jobs that are submitted together or depend on others. Other jobs have no rows here.",
        {
            "idempotency": "responses to submissions, by idempotency key",
            "unique_keys": "holder of each unique key",
            "concurrency": "holder of each concurrency key",
            "dependencies": "which job waits for which",
            "endings": "ends whose effects on other jobs are still to be applied",
            "batches": "jobs submitted together, with counts of their outcomes",
            "batch_tallies": "outcomes that are still to be added to a batch",
        },
        (
            Reference("jobs", "job_id", "idempotency", "job_id", "||--o|"),
            Reference("jobs", "job_id", "unique_keys", "job_id", ONE),
            Reference("jobs", "job_id", "concurrency", "job_id", ONE),
            Reference("jobs", "job_id", "dependencies", "parent_id", MANY),
            Reference("jobs", "job_id", "dependencies", "child_id", MANY),
            Reference("jobs", "job_id", "endings", "job_id", MANY),
            Reference("batches", "batch_id", "jobs", "batch_id", "|o--o{"),
            Reference("batches", "batch_id", "batch_tallies", "batch_id", MANY),
        ),
    ),
    Topic(
        "Webhooks",
        "`deliveries` is the outbox. Attempts and messages are partitioned by day and dropped like the ledger.",
        {
            "endpoints": "registered receivers of a tenant; secrets are encrypted",
            "receivers": "circuit breaker, pause and limits of each receiver",
            "deliveries": "webhooks to be sent",
            "delivery_attempts": "attempts to send a webhook, with their results",
            "messages": "bodies of webhooks that report no event of a job",
            "replays": "requests to send an endpoint's failed deliveries again",
            "secret_keys": "ids and proofs of the keys that secrets are encrypted with",
        },
        (
            Reference("receivers", "receiver_id", "deliveries", "receiver_id", MANY),
            Reference("endpoints", "endpoint_id", "receivers", "receiver_id", "|o--o|"),
            Reference("endpoints", "endpoint_id", "replays", "endpoint_id", MANY),
            Reference("deliveries", "delivery_id", "delivery_attempts", "delivery_id", "|o--o{"),
            Reference("replays", "replay_id", "deliveries", "replay_id", "|o--o{"),
            Reference("jobs", "job_id", "deliveries", "job_id", "|o--o{"),
        ),
    ),
    Topic(
        "Control",
        "Restrictions on claims, schedules and administration. `control` holds the version of all restrictions.",
        {
            "control": "versions: of pauses, limits and breakers; of keys and tenants; of declared types",
            "queues": "paused queues",
            "queue_names": "names of the queues that each tenant uses; their number is limited",
            "limits": "limits of queues and job types",
            "breakers": "circuit breakers of job types, by tenant",
            "declared_types": "job types as workers and clients declared them; those of tenant 0 are of handlers",
            "schedules": "recurring submissions",
            "schedule_runs": "due times that have been run",
            "stream_tickets": "digests of unused tickets",
            "minute_figures": "what happened in each minute, by queue and of all queues (an empty name); two days",
            "cell_record": "which cell of an installation the database is, of how many",
            "epochs": "servers that the database has run on, with the numbers that the stream of all jobs has on each",
            "retention_holds": "days of the ledger that are kept beyond the retention",
            "contractions": "revisions that removed parts of the schema",
        },
        (Reference("schedules", "name", "schedule_runs", "name", MANY),),
    ),
    Topic(
        "Tenants and keys",
        "Every row of the tables above names its tenant. The secrets of keys are stored as SHA-256.",
        {
            "tenants": "names and limits of tenants; the first row is `default`",
            "api_keys": "API keys with their scopes; revoked keys are kept",
            "audit": "changes of keys, tenants, restrictions, schedules and endpoints; append-only",
            "submitters": "database roles that may submit for a tenant in transactions of their own",
        },
        (
            Reference("tenants", "tenant_id", "api_keys", "tenant_id", MANY),
            Reference("tenants", "tenant_id", "audit", "tenant_id", MANY),
            Reference("tenants", "tenant_id", "submitters", "tenant_id", MANY),
        ),
    ),
)
_SHORT = {"timestamp with time zone": "timestamptz", "double precision": "float8", "smallint": "int2", "real": "float4"}


def page() -> str:
    """Returns the text of the page."""
    return "\n".join([INTRODUCTION, *(_section(topic) for topic in TOPICS)])


def missing_tables() -> set[str]:
    """Returns the declared tables that no topic names, and the named ones that are not declared."""
    named = [name for topic in TOPICS for name in topic.purposes]
    return set(named) ^ set(metadata.tables) | {name for name in named if named.count(name) > 1}


def wrong_references() -> list[Reference]:
    """Returns the references that name a column which does not exist."""
    columns = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}
    references = [reference for topic in TOPICS for reference in topic.references]
    return [each for each in references if not {(each.target, each.key), (each.source, each.column)} <= columns]


def _section(topic: Topic) -> str:
    return "\n".join(
        [
            f"## {topic.title}",
            "",
            topic.text,
            "",
            "| table | content |",
            "| --- | --- |",
            *(f"| `{name}` | {purpose} |" for name, purpose in topic.purposes.items()),
            "",
            "```mermaid",
            "erDiagram",
            *(f"    {each.target} {each.cardinality} {each.source} : {each.column}" for each in topic.references),
            *(line for name in topic.purposes for line in _entity(metadata.tables[name])),
            "```",
            "",
        ]
    )


def _entity(table: Table) -> Iterator[str]:
    yield f"    {table.name} {{"
    for column in table.columns:
        key = " PK" if column.primary_key else ""
        yield f"        {_type(column)} {column.name}{key}" + (' "null"' if column.nullable else "")
    yield "    }"


def _type(column: Column[object]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # it has no annotations
    name = column.type.compile(dialect=dialect).lower()
    return _SHORT.get(name, name).replace(" ", "_")


if __name__ == "__main__":
    PAGE.write_text(page())
