"""Limits of queues and job types: buckets of tokens whose time never runs backwards."""

from datetime import timedelta

import asyncpg

from duly.store.queue.limits import FlowLimits, Rate, Scope, activate_limits, set_limits

TENANT = 1
LIMITS = FlowLimits(None, Rate(10, 0.5))
REFILLED_AT = "select refilled_at from limits"


async def test_activation_leaves_a_bucket_that_a_later_claim_has_refilled(database_url: str) -> None:
    setting, claiming = [await asyncpg.connect(database_url) for _ in range(2)]
    try:
        await set_limits(setting, TENANT, Scope.TYPE, "echo", LIMITS, begins_in_seconds=0)
        async with setting.transaction():
            began = await setting.fetchval("select now()")
            refilled = await claiming.fetchval("update limits set refilled_at = now() returning refilled_at")
            await activate_limits(setting, TENANT, Scope.TYPE, "echo")
        assert refilled > began
        assert await setting.fetchval(REFILLED_AT) == refilled
    finally:
        await setting.close()
        await claiming.close()


async def test_activation_begins_limits_that_were_to_begin_later(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await set_limits(connection, TENANT, Scope.TYPE, "echo", LIMITS, begins_in_seconds=3600)
        await activate_limits(connection, TENANT, Scope.TYPE, "echo")
        assert await connection.fetchval(REFILLED_AT) - await connection.fetchval("select now()") < timedelta(0)
    finally:
        await connection.close()
