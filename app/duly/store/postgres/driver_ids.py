"""Ids in the type of the driver, which is written in C: it makes one in half of the time, and its text in a tenth.

It is a subclass of `uuid.UUID`, which `orjson` does not accept: ids are made text before they become JSON.
"""

from collections.abc import Callable
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as _DriverId  # noqa: N811  # as the driver returns them

driver_id: Callable[[bytes], UUID] = _DriverId
