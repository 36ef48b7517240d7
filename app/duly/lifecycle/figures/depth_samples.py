"""Takes the depth of all queues at one moment."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator

from duly.domain.minute_figures import ALL_QUEUES, MOST_QUEUES, DepthSample
from duly.store.figures.depth_samples import TABLES, count_jobs, oldest_of_each
from duly.store.postgres.database import Connection


async def take_samples(connection: Connection) -> list[DepthSample]:
    """Returns the depth of the longest queues of each tenant, and of all its queues; none for a tenant without
    unfinished jobs.
    """
    counts = [await count_jobs(connection, table) for table in TABLES]
    ages = await oldest_of_each(connection)
    samples = [
        DepthSample._make((*queue, *(count[queue] for count in counts), ages.get(queue, 0.0)))
        for queue in {*ages, *(queue for count in counts for queue in count)}
    ]
    return list(_with_totals(samples))


def _with_totals(samples: Iterable[DepthSample]) -> Iterator[DepthSample]:
    by_tenant = defaultdict[int, list[DepthSample]](list)
    for sample in samples:
        by_tenant[sample.tenant_id].append(sample)
    for tenant_id, queues in by_tenant.items():
        yield from heapq.nlargest(MOST_QUEUES, queues, key=lambda sample: (sample.ready, sample.running))
        depths = (sum(depth) for depth in zip(*(sample[2:6] for sample in queues), strict=True))
        yield DepthSample._make((tenant_id, ALL_QUEUES, *depths, max(sample.oldest_seconds for sample in queues)))
