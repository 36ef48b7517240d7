"""Statements of the store, parsed: the tables of tenants that they use without naming the tenant."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import sqlglot
from sqlglot import exp

import duly.store
from duly.domain.events import Status
from duly.store.read.access_paths import ListFilter, access_paths_of, find_statement, floors_statement
from duly.store.schema.tables import metadata

TENANT_TABLES = frozenset(table.name for table in metadata.tables.values() if "tenant_id" in table.columns)
_STATEMENT = re.compile(r"\s*(with|select|insert|update|delete)\b")
_SCOPES = (exp.Select, exp.Update, exp.Delete, exp.Insert)
# Values of the placeholders in templates.
PLACEHOLDERS = {
    "column": "queue",
    "condition": "",
    "events": "events",
    "key": "job_id",
    "mark": "1",
    "table": "running",
}
# The beginning of statements, which `access_paths` puts together.
BEGINNINGS = {"read.access_paths.GIVEN"}


class Statement(NamedTuple):
    """Statement of the store, by its constant: `queue.ready.CLAIM`."""

    name: str
    text: str


def statements() -> Iterator[Statement]:
    """Yields all statements. Constants with an underscore are parts of others."""
    for found in pkgutil.walk_packages(duly.store.__path__, "duly.store."):
        module = importlib.import_module(found.name)
        for name in _constants(module):
            yield from _statements_of(f"{found.name.removeprefix('duly.store.')}.{name}", getattr(module, name))
    yield from _lists()


def _constants(module: ModuleType) -> Iterator[str]:
    """Yields the names of the constants that the module itself assigns."""
    for node in ast.parse(Path(module.__file__ or "").read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper() and not target.id.startswith("_"):
                yield target.id


def _statements_of(name: str, value: object) -> Iterator[Statement]:
    match value:
        case str():
            if _STATEMENT.match(value) and name not in BEGINNINGS:
                yield Statement(name, re.sub(r"\{(\w+)\}", lambda found: PLACEHOLDERS[found[1]], value))
        case dict():
            for key, each in value.items():
                yield from _statements_of(f"{name}.{key}", each)
        case tuple() | list():
            for index, each in enumerate(value):
                yield from _statements_of(f"{name}.{index}", each)


def _lists() -> Iterator[Statement]:
    """Yields the statements of lists, with each filter."""
    filters: dict[str, ListFilter] = {
        "none": ListFilter(),
        **{str(status): ListFilter(statuses=[status]) for status in Status},
        "others": ListFilter(types=[], queues=[], labels=[], batches=[]),
    }
    for name, job_filter in filters.items():
        paths = access_paths_of(job_filter)
        for path in paths:
            yield Statement(f"read.access_paths.find_statement.{name}", find_statement(job_filter, path))
        yield Statement(f"read.access_paths.floors_statement.{name}", floors_statement(paths))


def tables_without_tenant(text: str) -> set[str]:
    """Returns the tables of tenants that a statement uses in any place without a condition on the tenant."""
    tree = sqlglot.parse_one(text, dialect="postgres")
    named = {expression.alias for expression in tree.find_all(exp.CTE)}
    return {
        table.name
        for table in tree.find_all(exp.Table)
        if table.name in TENANT_TABLES and table.name not in named and not _names_tenant(table)
    }


def _names_tenant(table: exp.Table) -> bool:
    """Returns whether the query that uses the table has a condition on its tenant, or inserts one."""
    scope = table.find_ancestor(*_SCOPES)
    if isinstance(scope, exp.Insert) and scope.find(exp.Table) is table:
        return "tenant_id" in {column.name for column in scope.this.expressions}
    return any(
        column.name == "tenant_id"
        and column.table in {"", table.alias_or_name}
        and column.find_ancestor(*_SCOPES) is scope
        for condition in _conditions(scope)
        for column in condition.find_all(exp.Column)
    )


def _conditions(scope: exp.Expression | None) -> Iterator[exp.Expression]:
    """Yields the conditions of a query: of rows, and of joins."""
    if scope is None:
        return
    if where := scope.args.get("where"):
        yield where
    for join in scope.args.get("joins") or ():
        yield from filter(None, (join.args.get("on"),))
