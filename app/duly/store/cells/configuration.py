"""Configuration that all cells share, table by table: read in cell 0, and written in another cell by content.

Tables of a cell's own are in none of these: jobs and all that is theirs, schedules (each is in the cell of its name),
circuit breakers, token buckets, queue names, tickets, figures, nodes, epochs, proofs of secret keys, and the audit log,
which is where a change was made. Columns of a cell's own are not copied either: last uses, tokens, and the state of
receivers. `docs/operate/cells.md` lists both.
"""

from dataclasses import dataclass

from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """Table with rows that are equal in all cells.

    Attributes:
        key: columns of the primary key.
        columns: further columns that are copied.
        json: those of type `json`, which Postgres does not compare.
        rows: condition on the rows that are copied.
        version: id in `control` of the version that a change raises.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    json: tuple[str, ...] = ()
    rows: str = "true"
    version: int | None = None

    @property
    def _all(self) -> str:
        return ", ".join((*self.key, *self.columns))

    @property
    def _key(self) -> str:
        return ", ".join(self.key)

    def _compared(self, row: str) -> str:
        """Returns the columns of a row as values that can be compared."""
        return ", ".join(f"{row}.{name}{'::text' if name in self.json else ''}" for name in self.columns)

    @property
    def _content(self) -> str:
        """Returns the columns as a text that is the same in each cell, in any time zone."""
        return f"jsonb_build_array({', '.join((*self.key, *self.columns))})::text"

    @property
    def digest(self) -> str:
        """Returns the query for the number of rows, and a digest of their content that their order does not change."""
        return f"""
select '{self.name}', count(*), coalesce(sum(('x' || left(md5({self._content}), 15))::bit(60)::bigint), 0)::text
from {self.name} where {self.rows}
"""

    @property
    def read(self) -> str:
        """Returns the query for a page of rows after a key (JSON; null: from the beginning), as JSON, with the last
        key.
        """
        after = f"(select {self._key} from json_populate_record(null::{self.name}, $1::json))"
        return f"""
with page as materialized (
    select {self._all} from {self.name} where ({self.rows}) and ($1::json is null or ({self._key}) > {after})
    order by {self._key} limit {PAGE}
)
select count(*)::int, coalesce(json_agg(p order by {", ".join(f"p.{name}" for name in self.key)}), '[]')::text,
       (select to_json(k) from (select {self._key} from page order by {self._descending} limit 1) k)::text
from page p
"""

    @property
    def _descending(self) -> str:
        return ", ".join(f"{name} desc" for name in self.key)

    @property
    def write(self) -> str:
        """Returns the statement that makes the rows between two keys (JSON; null: no bound) equal to a page. Rows that
        are equal already are neither written nor locked.
        """
        same_key = " and ".join(f"t.{name} = s.{name}" for name in self.key)
        own_key = ", ".join(f"t.{name}" for name in self.key)
        bound = f"(select {self._key} from json_populate_record(null::{self.name}, {{}}::json))"
        changes = ", ".join(f"{name} = excluded.{name}" for name in self.columns)
        return f"""
with source as materialized (
    select {self._all} from json_populate_recordset(null::{self.name}, $1::json)
),
gone as (
    delete from {self.name} t
    where ({self.rows}) and ($2::json is null or ({own_key}) > {bound.format("$2")})
      and ($3::json is null or ({own_key}) <= {bound.format("$3")})
      and not exists (select from source s where {same_key})
    returning 1
),
put as (
    insert into {self.name} as t ({self._all}) select {self._all} from source order by {self._key}
    on conflict ({self._key}) do update set {changes}
    where ({self._compared("t")}) is distinct from ({self._compared("excluded")})
    returning 1
)
select (select count(*) from gone)::int + (select count(*) from put)::int
"""


TENANTS = CopiedTable(
    "tenants",
    ("tenant_id",),
    (
        *("name", "submit_rate", "submit_burst", "backlog_limit", "retention_days", "max_endpoints", "max_schedules"),
        *("max_keys", "created_at", "max_queues"),
    ),
    version=2,
)
API_KEYS = CopiedTable(
    "api_keys",
    ("key_id",),
    (
        *("tenant_id", "name", "digest", "scopes", "types", "queues", "rate_count", "rate_seconds", "expires_at"),
        *("created_at", "created_by", "revoked_at", "valid_until"),
    ),
    version=2,
)
# Those of handlers are declared by the workers of each cell.
DECLARED_TYPES = CopiedTable(
    "declared_types",
    ("tenant_id", "type"),
    (
        *("description", "parameters_schema", "result_schema", "timeout_seconds", "max_attempts", "retry", "queue"),
        *("handler", "digest", "declared_at", "holds"),
    ),
    json=("parameters_schema", "result_schema", "retry", "handler"),
    rows="tenant_id > 0",
    version=3,
)
# Limits of starts take effect by further steps: see `duly.lifecycle.claim.set_flow_control`.
SUBMISSION_LIMITS = CopiedTable(
    "limits",
    ("tenant_id", "scope", "name"),
    ("rate_count", "rate_seconds", "backlog"),
    rows="scope in (0, 3)",
)
HOLDS = CopiedTable(
    "retention_holds", ("name",), ("tenant_id", "first_day", "last_day", "reason", "created_by", "created_at")
)
# In the order in which they refer to each other.
COPIED = (TENANTS, API_KEYS, DECLARED_TYPES, SUBMISSION_LIMITS, HOLDS)

# Times are compared as text, in the same zone on each server.
IN_UTC = "set local timezone = 'UTC'"
_READ_DIGESTS = "\nunion all\n".join(table.digest for table in COPIED)


async def read_digests(connection: Connection) -> dict[str, str]:
    """Returns a digest of each copied table, by its name. Reads all of them, in a transaction `IN_UTC`."""
    return {name: f"{count} {digest}" for name, count, digest in await connection.fetch(_READ_DIGESTS)}


async def copy_table(table: CopiedTable, source: Connection, target: Connection) -> int:
    """Makes the rows of a table equal to those of another cell, in a transaction of the caller's on `target`. Returns
    the number of rows that changed.
    """
    changed, after, more = 0, None, True
    while more:
        count, rows, last = only(await source.fetchrow(table.read, after))
        more = count == PAGE
        changed += await target.fetchval(table.write, rows, after, last if more else None)
        after = last
    if changed and table.version is not None:
        await target.execute(_RAISE, table.version)
    return changed


_RAISE = """
insert into control as c (id, version) values ($1, 1) on conflict (id) do update set version = c.version + 1
"""

# The newest use in any cell is shown: cell 0 lists the keys.
READ_USES = """
select key_id, last_used_at from api_keys where last_used_at > now() - interval '1 hour' order by key_id
"""
NOTE_USES = """
update api_keys k set last_used_at = u.last_used_at
from unnest($1::text[], $2::timestamptz[]) as u (key_id, last_used_at)
where k.key_id = u.key_id and coalesce(k.last_used_at < u.last_used_at, true)
"""


async def report_key_uses(home: Connection, cell: Connection) -> None:
    """Reports to cell 0 the keys that were used in another cell within the hour."""
    if uses := await cell.fetch(READ_USES):
        key_ids, times = zip(*uses, strict=True)
        await home.execute(NOTE_USES, list(key_ids), list(times))
