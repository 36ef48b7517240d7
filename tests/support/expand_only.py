"""Check that a migration only expands the schema, so that reads and writes of the previous release keep working."""

import re
from typing import Any, NamedTuple

COLUMNS = """
select c.relname as table, a.attname as column, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required,
       a.atthasdef or a.attidentity <> '' as filled
from pg_attribute a join pg_class c on c.oid = a.attrelid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  and a.attnum > 0 and not a.attisdropped
"""
CONSTRAINTS = """
select c.relname as table, n.conname as name, pg_get_constraintdef(n.oid) as definition
from pg_constraint n join pg_class c on c.oid = n.conrelid
where c.relnamespace = 'public'::regnamespace and not c.relispartition and n.contype <> 'n'
union all
select c.relname, i.relname, pg_get_indexdef(x.indexrelid)
from pg_index x join pg_class c on c.oid = x.indrelid join pg_class i on i.oid = x.indexrelid
where c.relnamespace = 'public'::regnamespace and not c.relispartition and x.indisunique
union all
select c.relname, t.tgname, pg_get_triggerdef(t.oid)
from pg_trigger t join pg_class c on c.oid = t.tgrelid
where c.relnamespace = 'public'::regnamespace and not c.relispartition and not t.tgisinternal
"""

UNIQUE_KEY = re.compile(r"(?:PRIMARY KEY|UNIQUE|CREATE UNIQUE INDEX .* USING btree) \(([^()]+)\)")


class Schema(NamedTuple):
    """Columns by table and name, as (type, required, has a default); constraints and triggers by table and name."""

    columns: dict[tuple[str, str], tuple[str, bool, bool]]
    constraints: dict[tuple[str, str], str]

    @property
    def tables(self) -> set[str]:
        return {table for table, _ in self.columns}


async def read_schema(connection: Any) -> Schema:
    columns = {(row[0], row[1]): (row[2], row[3], row[4]) for row in await connection.fetch(COLUMNS)}
    return Schema(columns, {(row[0], row[1]): row[2] for row in await connection.fetch(CONSTRAINTS)})


def contractions(before: Schema, after: Schema) -> list[str]:
    """Returns the incompatible changes from the earlier schema to the later one; empty if it only expands."""
    found = [f"{table} is gone" for table in sorted(before.tables - after.tables)]
    for (table, column), (type_, required, filled) in sorted(before.columns.items()):
        now = after.columns.get((table, column))
        if now is None and table in after.tables:
            found.append(f"{table}.{column} is gone")
        elif now is not None and now[0] != type_:
            found.append(f"{table}.{column} is {now[0]}, and was {type_}")
        elif now is not None and now[1] and not required:
            found.append(f"{table}.{column} takes no null any more")
        elif now is not None and filled and not now[2]:
            found.append(f"{table}.{column} has no default any more")
    for (table, column), (_, required, filled) in sorted(after.columns.items()):
        if table in before.tables and (table, column) not in before.columns and required and not filled:
            found.append(f"{table}.{column} is new and takes no null, and has no default")
    for (table, name), definition in sorted(after.constraints.items()):
        known = table not in before.tables or before.constraints.get((table, name)) == definition
        if not known and not _follows_from_a_key(before, table, definition):
            found.append(f"{table} has a new constraint {name}: {definition}")
    return found


def _follows_from_a_key(before: Schema, table: str, definition: str) -> bool:
    """Returns whether this is a unique key that has all columns of an earlier one, and so allows what that allowed."""
    now = _key_columns(definition)
    earlier = [_key_columns(each) for (of, _), each in before.constraints.items() if of == table]
    return any(columns and columns <= now for columns in earlier)


def _key_columns(definition: str) -> set[str]:
    """Returns the columns of a unique key; none for another constraint, or a key with a condition."""
    found = UNIQUE_KEY.fullmatch(definition)
    return set(found[1].split(", ")) if found else set()
