"""Verification of API keys, from a cache in each process.

A key that was verified once is recognised by the SHA-256 of its whole text, without a query: a lookup by digest takes
the same time for every wrong key. A change of any key or tenant raises a version in the database. Each process looks at
it at least every `LOOK_SECONDS` and forgets what it has cached when the version differs.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from duly.domain.api_key import parse_key
from duly.domain.database_clock import DatabaseClock
from duly.domain.job import DEFAULT_TENANT
from duly.domain.principal import SETTINGS_KEY, Principal, full_principal
from duly.store.access.api_keys import StoredKey, find_keys, note_used
from duly.store.access.tenants import find_tenant
from duly.store.access.version import read_access_version
from duly.store.postgres.database import Connection, Database

Key = TypeVar("Key")
Value = TypeVar("Value")

LOOK_SECONDS = 2.0
# Longest time between two notes of the use of a key; a use is recorded to the minute.
NOTE_SECONDS = 30.0
MOST_KNOWN = 10_000
# Queries in progress for keys that are not cached, so that invented keys cannot take all connections.
AT_ONCE = 4


@dataclass(slots=True)
class _Hold:
    """Open stream or socket. `checked`: its key was valid after it had been opened."""

    principal: Principal
    cut: Callable[[], None]
    checked: bool = False


@dataclass(slots=True)
class _Known:
    """A verified key. Times are those of `time.monotonic`."""

    principal: Principal
    refused_at: float
    note_at: float = 0.0


class KeyVerifier:
    """Verifies the keys that requests present to one process.

    Args:
        own_key: value of `DULY_API_KEY`; None: not set.
        clock: the database's clock, by which keys expire.
    """

    def __init__(self, database: Database, *, own_key: str | None, clock: DatabaseClock) -> None:
        self._database = database
        self._clock = clock
        self._own = sha256(own_key.encode()).digest() if own_key is not None else None
        self._keyed = own_key is not None
        self._version = -1
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._stepping = asyncio.Lock()
        self._tenants: dict[str, int] = {}
        self._used: set[str] = set()
        self._holds: dict[int, _Hold] = {}
        self._anyone = full_principal(DEFAULT_TENANT, key_id=None)
        self._holder_of_own_key = full_principal(DEFAULT_TENANT, key_id=SETTINGS_KEY)
        self._forget()

    def _forget(self) -> None:
        self._unknown: dict[bytes, None] = {}
        self._known: dict[bytes, _Known] = {}
        if self._own is not None:
            self._known[self._own] = _Known(self._holder_of_own_key, float("inf"), float("inf"))

    @property
    def anyone(self) -> Principal | None:
        """Returns the principal of requests without a key; None if keys are required: one is set, or was made."""
        return None if self._keyed else self._anyone

    def recognised(self, presented: bytes) -> Principal | None:
        """Returns the principal of a key that was verified before and is still valid."""
        return self._recognised(self.digest_of(presented))

    @staticmethod
    def digest_of(presented: bytes) -> bytes:
        """Returns the digest by which a verified key is recognised."""
        return sha256(presented).digest()

    def _recognised(self, digest: bytes) -> Principal | None:
        known = self._known.get(digest)
        if known is None:
            return None
        now = time.monotonic()
        if now >= known.note_at:
            self._note(known, now)
        return known.principal if now < known.refused_at else None

    async def verify(self, presented: bytes) -> Principal | None:
        """Returns the principal of a key; None if it is unknown, wrong, expired or revoked.

        Raises:
            DatabaseError: it is not cached, and the database cannot be read.
        """
        digest = sha256(presented).digest()
        if self._own is not None and hmac.compare_digest(digest, self._own):  # it was the oldest in the cache
            return self._holder_of_own_key
        key = parse_key(presented)
        if key is None or digest in self._unknown:
            return None
        async with self._turns:
            return await self._look_up(key.key_id, digest, secret=key.digest)

    async def of_session(self, key_id: str, digest: bytes) -> Principal | None:
        """Returns the principal of a key that was verified when a session began; None if it is not valid any more.

        Raises:
            DatabaseError: it is not cached, and the database cannot be read.
        """
        if (principal := self._recognised(digest)) is not None:
            return principal
        if key_id == SETTINGS_KEY or digest in self._unknown:  # the present one is always recognised
            return None
        async with self._turns:
            return await self._look_up(key_id, digest)

    async def _look_up(self, key_id: str, digest: bytes, *, secret: bytes | None = None) -> Principal | None:
        version = self._version
        async with self._database.connection() as connection:
            stored = (await find_keys(connection, [key_id])).get(key_id)
        if stored is None or (secret is not None and not hmac.compare_digest(stored.digest, secret)):
            if version == self._version:  # else it may have been made since it was looked for
                _keep(self._unknown, digest, None)
            return None
        known = _Known(_principal(stored), self._refused_at(stored))
        self._note(known, time.monotonic())
        if version == self._version:  # else it may have been revoked since it was read
            _keep(self._known, digest, known)
        return known.principal

    def _refused_at(self, stored: StoredKey) -> float:
        if stored.refused_at is None:
            return float("inf")
        return time.monotonic() + stored.refused_at.timestamp() - self._clock.seconds()

    def _note(self, known: _Known, now: float) -> None:
        known.note_at = now + NOTE_SECONDS
        if known.principal.key_id is not None and now < known.refused_at:
            self._used.add(known.principal.key_id)

    async def principal_of(self, key_id: str | None) -> Principal | None:
        """Returns the principal of a key that made a ticket, if it is still valid. None as id: no key was required."""
        if key_id is None:
            return self.anyone
        if key_id == SETTINGS_KEY:
            return self._holder_of_own_key if self._own is not None else None
        async with self._database.connection() as connection:
            stored = (await find_keys(connection, [key_id])).get(key_id)
        return _principal(stored) if stored is not None else None

    async def tenant_id(self, name: str) -> int | None:
        """Returns the id of the tenant of this name; None if there is none. Names of tenants never change."""
        if (known := self._tenants.get(name)) is not None:
            return known
        async with self._turns, self._database.connection() as connection:
            found = await find_tenant(connection, name)
        if found is not None:
            _keep(self._tenants, name, found.tenant_id)
        return found.tenant_id if found is not None else None

    async def step(self) -> float:
        """Reads the version, and forgets what was cached if it has changed; cuts streams whose key is refused; records
        when keys were used. Run by a loop, and after each change made by this process: one at a time, so that a slow
        one does not set back the version that a later one has read.
        """
        async with self._stepping, self._database.background() as connection:
            version, any_key = await read_access_version(connection)
            self._keyed = self._keyed or any_key
            changed = version != self._version
            if changed:
                self._version = version
                self._forget()
            await self._cut(connection, changed=changed)
            used, self._used = self._used, set()
            if used:
                await note_used(connection, used)
        return LOOK_SECONDS

    @property
    def rests(self) -> bool:
        """Returns whether there is nothing to do until a key changes: no stream is held open, no use to record."""
        return not self._holds and not self._used

    @contextmanager
    def holding(self, principal: Principal, cut: Callable[[], None]) -> Iterator[None]:
        """Calls `cut` once the key of a principal is refused, while the block runs."""
        hold = _Hold(principal, cut)
        self._holds[id(hold)] = hold
        try:
            yield
        finally:
            del self._holds[id(hold)]

    async def _cut(self, connection: Connection, *, changed: bool) -> None:
        """Cuts what was opened with keys that have expired or were revoked."""
        unsure = [hold for hold in self._holds.values() if changed or not hold.checked]
        key_ids = {hold.principal.key_id for hold in unsure} - {None, SETTINGS_KEY}
        valid = await find_keys(connection, [key_id for key_id in key_ids if key_id]) if key_ids else {}
        for hold in unsure:
            hold.checked = hold.principal.key_id not in key_ids or hold.principal.key_id in valid
        now = self._clock.seconds()
        for hold in list(self._holds.values()):  # without those that have ended meanwhile
            principal = hold.principal
            expired = principal.expires_at is not None and principal.expires_at <= now
            refused = hold in unsure and not hold.checked
            if expired or refused or (principal.key_id is None and self._keyed):
                hold.cut()


def _principal(stored: StoredKey) -> Principal:
    rights = stored.rights
    return Principal(
        stored.tenant_id,
        stored.tenant,
        stored.key_id,
        rights.scopes,
        frozenset(rights.types) if rights.types is not None else None,
        frozenset(rights.queues) if rights.queues is not None else None,
        rights.rate,
        stored.refused_at.timestamp() if stored.refused_at is not None else None,
    )


def _keep(kept: dict[Key, Value], key: Key, value: Value) -> None:
    """Keeps a value, and forgets the oldest if there are too many."""
    kept[key] = value
    if len(kept) > MOST_KNOWN:
        del kept[next(iter(kept))]
