"""A driver's connection that knows the array types of Postgres, instead of looking them up in each new session.

asyncpg looks up the arrays among a statement's types by a recursive query over the catalog: 10 to 25 ms of the server's
time for each new connection, more than all else that a start or a reconnection costs.
"""

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = Any  # asyncpg ships no types; statements say what they take and return

# The array's number, by the number and the name of its elements' type. Numbers below 10,000 are given by hand in the
# sources of Postgres (pg_type.dat), and are the same in every database of every version.
_ARRAYS: Mapping[int, tuple[int, str]] = {
    199: (114, "json"),
    1000: (16, "bool"),
    1001: (17, "bytea"),
    1005: (21, "int2"),
    1007: (23, "int4"),
    1016: (20, "int8"),
    1021: (700, "float4"),
    1022: (701, "float8"),
    1185: (1184, "timestamptz"),
    2951: (2950, "uuid"),
    3807: (3802, "jsonb"),
}


class CatalogTypesConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """Overrides a private method of asyncpg, whose version is bounded for it; without it all is slower, not wrong."""

    async def _introspect_types(
        self,
        typeoids: Iterable[int],
        timeout: float | None,  # noqa: ASYNC109  # asyncpg's signature
    ) -> tuple[list[Any], Any]:
        asked = list(typeoids)
        if all(oid in _ARRAYS for oid in asked):
            # A name tells the caller that its own statement is still prepared: nothing was sent since.
            return [_array(oid) for oid in asked], SimpleNamespace(name="known")
        found: tuple[list[Any], Any] = await super()._introspect_types(asked, timeout)
        return found


def _array(oid: int) -> dict[str, Any]:
    """An array type as asyncpg's own query describes it."""
    element, name = _ARRAYS[oid]
    return {
        "oid": oid,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "basetype": None,
        "elemtype": element,
        "elemdelim": ",",
        "range_subtype": None,
        "attrtypoids": None,
        "attrnames": None,
        "elemtype_name": name,
    }
