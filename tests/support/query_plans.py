"""Query plans of Postgres as values."""

import json
from collections.abc import Iterator
from typing import Any

from duly.store.postgres.database import Connection


async def explained(connection: Connection, statement: str, *arguments: Any, analyze: bool = False) -> dict[str, Any]:
    """Returns the plan of a statement; with `analyze`, the statement is executed."""
    how = "analyze, buffers, format json" if analyze else "format json"
    text = await connection.fetchval(f"explain ({how}) {statement}", *arguments)
    plan: dict[str, Any] = json.loads(text)[0]["Plan"]
    return plan


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields a node of a plan and all nodes below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)
