"""Rates of API keys: requests that each may make, over all nodes."""

from duly.domain.cell_share import CellShare
from duly.domain.principal import Principal
from duly.errors import RateLimited
from duly.lifecycle.submit.shared_bucket import SharedBucket
from duly.store.postgres.database import Database
from duly.store.queue.limits import Rate
from duly.store.submit.submission_limits import BucketKey

MOST_BUCKETS = 10_000


class KeyRates:
    """Buckets of the keys that have a rate and are used here. Of several cells, each admits its share."""

    def __init__(self, database: Database, share: CellShare | None = None) -> None:
        self._database = database
        self._share = share or CellShare()
        self._buckets: dict[str, SharedBucket] = {}

    async def admit(self, principal: Principal) -> None:
        """Admits one request of a key that has a rate.

        Raises:
            RateLimited: the key has made too many.
        """
        rate, key_id = principal.rate, principal.key_id
        if rate is None or key_id is None:
            return
        own = Rate(*self._share.of_rate(rate.count, rate.seconds))
        seconds = await self._bucket(principal.tenant_id, key_id).take(own, 1)
        if seconds is not None:
            raise RateLimited.of_key(rate.count, rate.seconds, retry_after_seconds=seconds)

    def _bucket(self, tenant_id: int, key_id: str) -> SharedBucket:
        bucket = self._buckets.get(key_id)
        if bucket is None:
            if len(self._buckets) >= MOST_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key_id] = SharedBucket(self._database, BucketKey.of_key(tenant_id, key_id))
        return bucket
