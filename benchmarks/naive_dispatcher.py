"""Naive dispatcher: takes 64 rows of an outbox at a time, posts them concurrently and marks each with an UPDATE.

Runs in its own process (`python -m benchmarks.naive_dispatcher`) until it is stopped.
"""

import asyncio
import hashlib
import hmac
import os

import asyncpg
import httpx

from benchmarks.submissions import SECRET

AT_ONCE = 64
POLL_SECONDS = 0.1

SCHEMA = """
create table outbox (
    id bigint generated always as identity primary key,
    url text not null,
    secret text not null,
    body text not null,
    delivered_at timestamptz
);
create index outbox_pending on outbox (id) where delivered_at is null
"""
# Same size as the body that Duly sends for the same job.
FILL = f"""
with port as (select number, ordinality - 1 as place from unnest(array[{{ports}}]) with ordinality as p (number))
insert into outbox (url, secret, body)
select 'http://127.0.0.1:' || port.number || '/webhooks', '{SECRET}',
       json_build_object(
           'type', 'job.completed', 'timestamp', now(), 'jobId', gen_random_uuid(), 'status', 'completed',
           'completedAt', now(), 'sequence', 2, 'jobType', 'noop', 'attempt', 1, 'labels', '{{{{}}}}'::json,
           'correlationId', gen_random_uuid(), 'result', json_build_object('index', n)
       )
from generate_series(1, {{deliveries}}) n join port on port.place = n % (select count(*) from port)
"""
LEFT = "select (not exists (select from outbox where delivered_at is null))::int"
TAKE = f"""
select id, url, secret, body from outbox where delivered_at is null
order by id limit {AT_ONCE} for update skip locked
"""
TICK_OFF = "update outbox set delivered_at = now() where id = $1"


async def deliver(client: httpx.AsyncClient, row: asyncpg.Record) -> bool:
    body = row["body"].encode()
    signature = hmac.new(row["secret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Webhook-Signature": f"sha256={signature}"}
    try:
        response = await client.post(row["url"], content=body, headers=headers)
    except httpx.TransportError:
        return False
    return response.is_success


async def one_round(connection: asyncpg.Connection, client: httpx.AsyncClient) -> bool:
    async with connection.transaction():
        rows = await connection.fetch(TAKE)
        delivered = await asyncio.gather(*(deliver(client, row) for row in rows))
        for row, well in zip(rows, delivered, strict=True):
            if well:
                await connection.execute(TICK_OFF, row["id"])
    return bool(rows)


async def main() -> None:
    connection = await asyncpg.connect(os.environ["BENCHMARK_DATABASE_URL"])
    async with httpx.AsyncClient() as client:
        while True:
            if not await one_round(connection, client):
                await asyncio.sleep(POLL_SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
