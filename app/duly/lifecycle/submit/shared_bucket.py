"""Token bucket in the database that all nodes take from, with tokens taken ahead of need in each process."""

import asyncio
import math
import time

from duly.store.postgres.database import Database
from duly.store.queue.limits import Rate
from duly.store.submit.submission_limits import BucketKey, take_tokens

# Longest time for which an empty bucket is not looked at again.
LOOK_SECONDS = 1.0
# Tokens are taken from the shared bucket ahead of need for this long, and dropped when they are older than the next.
AHEAD_SECONDS = 0.1
TOKENS_LAST_SECONDS = 1.0


class SharedBucket:
    """One bucket, as one process sees it."""

    def __init__(self, database: Database, key: BucketKey) -> None:
        self._database = database
        self._key = key
        self._lock = asyncio.Lock()
        self._refused = 0
        self.forget()

    def forget(self) -> None:
        """Forgets the tokens taken ahead, and that the bucket was empty: the rate has changed."""
        self._tokens = 0
        self._tokens_at = self._empty_until = 0.0

    async def take(self, rate: Rate, needed: int) -> int | None:
        """Takes tokens, from those taken ahead or from the database. Returns None, or, if there are too few, the
        seconds until there may be enough.
        """
        async with self._lock:
            now = time.monotonic()
            if now - self._tokens_at > TOKENS_LAST_SECONDS:
                self._tokens = 0
            if self._tokens >= needed:
                self._tokens -= needed
                return None
            if now < self._empty_until and needed >= self._refused:
                return max(1, math.ceil(self._empty_until - now))
            ahead = int(rate.count / rate.seconds * AHEAD_SECONDS)
            async with self._database.connection() as connection:
                taken, seconds = await take_tokens(connection, self._key, rate, needed=needed, wanted=needed + ahead)
            if taken:
                self._tokens, self._tokens_at = taken - needed, time.monotonic()
                return None
            self._empty_until, self._refused = time.monotonic() + min(seconds, LOOK_SECONDS), needed
            return max(1, math.ceil(seconds))
