"""Connections to both banks.

AIRLINES_BANK and AIRPORTS_BANK are the names of their databases, BANKS_SERVER is the URL of the server. Nothing here or
in the handlers needs the two to be on one server.
"""

import asyncio
import os
from typing import Any

import asyncpg

SERVER, AIRLINES, AIRPORTS = "BANKS_SERVER", "AIRLINES_BANK", "AIRPORTS_BANK"
_CONNECTIONS = 8


class Banks:
    """Pools of connections, opened in the event loop of the first call."""

    def __init__(self) -> None:
        self._opening = asyncio.Lock()
        self._pools: dict[str, asyncpg.Pool[Any]] = {}

    async def pool(self, bank: str) -> "asyncpg.Pool[Any]":
        """Returns the pool of a bank."""
        async with self._opening:
            if bank not in self._pools:
                server, database = os.environ[SERVER], os.environ[bank]
                self._pools[bank] = await asyncpg.create_pool(
                    server, database=database, min_size=1, max_size=_CONNECTIONS
                )
            return self._pools[bank]
