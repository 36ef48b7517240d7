"""Catalog of the peers: settings, sizes, and the query that counts unfinished jobs.

Settings are the best that each library's documentation offers for one process; where there is a choice (batch,
concurrency, chunk and number of callers) it is the best of several that were measured on two cores.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Store(StrEnum):
    """Store of a peer's jobs. Redis runs without an append-only file: a crash may lose accepted jobs."""

    POSTGRES = "Postgres"
    REDIS = "Redis"


@dataclass(frozen=True, slots=True)
class Peer:
    """Library in one configuration.

    `module` is its file in adapters/, and the name of its environment unless `environment` is set. `setup` describes
    the worker's settings, `bulk` those of the bulk call. `unfinished` is a query (SQL, or Lua for Redis) that counts
    waiting and running jobs. `pace` is roughly the number of jobs it runs per second, from which the length of a round
    follows. The quick run includes only the peers marked `quick`.
    """

    name: str
    module: str
    package: str
    setup: str
    unfinished: str
    pace: int
    store: Store = Store.POSTGRES
    environment: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    bulk: str = "1,000 a call"
    chunk: int = 1_000
    callers: int = 1
    submits: bool = True
    quick: bool = False


NODE = "node"
GRAPHILE_UNFINISHED = "select count(*) from graphile_worker._private_jobs"

PEERS = (
    Peer(
        name="PgQueuer",
        module="pgqueuer",
        package="pgqueuer",
        setup="batch 500",
        settings={"batch_size": 500},
        bulk="2 x 1,000 a call",
        callers=2,
        unfinished="select count(*) from pgqueuer",
        pace=20_000,
        quick=True,
    ),
    Peer(
        name="Procrastinate",
        module="procrastinate",
        package="procrastinate",
        setup="concurrency 16",
        settings={"concurrency": 16},
        bulk="4 x 500 a call",
        chunk=500,
        callers=4,
        unfinished="select count(*) from procrastinate_jobs where status in ('todo', 'doing')",
        pace=700,
        quick=True,
    ),
    Peer(
        name="Graphile Worker",
        module="graphile_worker",
        environment=NODE,
        package="graphile-worker",
        setup="local queue 500",
        settings={
            "concurrentJobs": 24,
            "maxPoolSize": 26,
            "localQueue": {"size": 500, "refetchDelay": {"durationMs": 10}},
            "completeJobBatchDelay": 0,
            "failJobBatchDelay": 0,
        },
        bulk="4 x 500 a call",
        chunk=500,
        callers=4,
        unfinished=GRAPHILE_UNFINISHED,
        pace=44_000,
        quick=True,
    ),
    Peer(
        name="awa",
        module="awa",
        package="awa-pg",
        setup="500 workers",
        settings={"max_workers": 500},
        unfinished="""
            select (select count(*) from awa.ready_entries) - (select count(*) from awa.done_entries)
                 - (select coalesce(sum(completed_count), 0) from awa.receipt_completion_batches)
        """,
        pace=6_000,
        quick=True,
    ),
    Peer(
        name="Graphile Worker",
        module="graphile_worker",
        environment=NODE,
        package="graphile-worker",
        setup="defaults, 24 at once",
        settings={"concurrentJobs": 24, "maxPoolSize": 26},
        unfinished=GRAPHILE_UNFINISHED,
        pace=3_900,
        submits=False,
    ),
    Peer(
        name="pg-boss",
        module="pg_boss",
        environment=NODE,
        package="pg-boss",
        setup="batch 1,000",
        settings={
            "batchSize": 1000,
            "burstWhenBatchFull": True,
            "pollingIntervalSeconds": 0.5,
            "localConcurrency": 2,
        },
        bulk="4 x 500 a call",
        chunk=500,
        callers=4,
        unfinished="select count(*) from pgboss.job where name = 'noop' and state < 'completed'",
        pace=36_000,
    ),
    Peer(
        name="Oban for Python",
        module="oban",
        package="oban",
        setup="limit 100",
        settings={"limit": 100},
        bulk="4 x 500 a call",
        chunk=500,
        callers=4,
        unfinished="""
            select count(*) from oban_jobs where state in ('available', 'scheduled', 'executing', 'retryable')
        """,
        pace=3_300,
    ),
    Peer(
        name="chancy",
        module="chancy",
        package="chancy",
        setup="eager polling, concurrency 500",
        settings={"concurrency": 500, "polling_interval": 1, "eager_polling": True},
        unfinished="select count(*) from chancy_jobs where state in ('pending', 'running', 'retrying')",
        pace=3_200,
    ),
    Peer(
        name="SAQ",
        module="saq",
        package="saq",
        setup="on Postgres, concurrency 16",
        settings={"concurrency": 16},
        unfinished="select count(*) from saq_jobs where status in ('queued', 'active')",
        pace=800,
        bulk="16 single calls at once",
    ),
    Peer(
        name="DBOS",
        module="dbos",
        package="dbos",
        setup="concurrency 50, polling 0.1 s",
        settings={"worker_concurrency": 50, "polling_interval_sec": 0.1},
        unfinished="select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING')",
        pace=300,
        bulk="16 single calls at once",
    ),
    Peer(
        name="taskiq",
        module="taskiq",
        package="taskiq",
        store=Store.REDIS,
        setup="Redis stream, 100 at once",
        settings={"max_async_tasks": 100},
        unfinished="local group = redis.call('XINFO', 'GROUPS', 'taskiq')[1] return group[6] + group[12]",
        pace=4_200,
        bulk="64 single calls at once",
    ),
    Peer(
        name="arq",
        module="arq",
        package="arq",
        store=Store.REDIS,
        setup="Redis, 100 at once, polling 20 ms, no results kept",
        settings={"max_jobs": 100, "poll_delay": 0.02},
        unfinished="return redis.call('ZCARD', 'arq:queue')",
        pace=2_800,
        bulk="64 single calls at once",
    ),
    Peer(
        name="streaQ",
        module="streaq",
        package="streaq",
        store=Store.REDIS,
        setup="Redis, concurrency 64",
        settings={"concurrency": 64},
        unfinished="return redis.call('XLEN', 'streaq:default:queues:normal')",
        pace=1_300,
    ),
    Peer(
        name="Celery",
        module="celery",
        package="celery",
        store=Store.REDIS,
        setup="Redis, 8 threads, prefetch 100",
        settings={"concurrency": 8, "prefetch": 100},
        unfinished="return redis.call('LLEN', 'celery') + redis.call('HLEN', 'unacked')",
        pace=1_100,
        bulk="single calls on one connection",
    ),
)


def taking_part(*, full: bool) -> tuple[Peer, ...]:
    """Returns the peers of a run: all in the full run, in the quick one those that Postgres users compare first."""
    return tuple(peer for peer in PEERS if full or peer.quick)
