"""Connection of the driver that knows the array types of Postgres, instead of querying them in each new
session.

asyncpg finds the element types of a statement's arrays by a recursive query on the catalog: 10 to 25 ms of server time
for each new connection, more than everything else in a start or a reconnection.
"""

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

# Opened by the caller, or lent by the pool.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Record: TypeAlias = asyncpg.Record

# OID of each array type, with the OID and the name of its element type. OIDs below 10,000 are assigned in the sources
# of Postgres (pg_type.dat), and equal in every database and version.
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


if TYPE_CHECKING:
    _DriverConnection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _DriverConnection = asyncpg.Connection  # has no type parameter at run time


def only(row: Record | None) -> Record:
    """Returns the row of a statement that always has one."""
    if row is None:
        raise AssertionError("the statement has no row")
    return row


class CatalogTypesConnection(_DriverConnection):
    """Connection with known array types. Overrides a private method of asyncpg, whose version is therefore bounded;
    without the override connections are slower, but correct.
    """

    async def _introspect_types(
        self,
        typeoids: Iterable[int],
        timeout: float | None,  # noqa: ASYNC109  # asyncpg's signature
    ) -> tuple[list[Any], Any]:
        oids = list(typeoids)
        if all(oid in _ARRAYS for oid in oids):
            # The name means that the caller's statement is still prepared, since nothing was sent.
            return [_array(oid) for oid in oids], SimpleNamespace(name="known")
        found: tuple[list[Any], Any] = await super()._introspect_types(oids, timeout)  # type: ignore[misc]  # private
        return found


def _array(oid: int) -> dict[str, Any]:
    """Returns an array type in the form of asyncpg's own query."""
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
