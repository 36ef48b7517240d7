"""Principal of a request: the tenant and the rights that its API key, or its absence, stands for."""

from dataclasses import dataclass
from typing import NamedTuple

from duly.domain.key_scope import ALL_SCOPES, KeyScope, KeyScopes

SETTINGS_KEY = "DULY_API_KEY"
DEFAULT_TENANT_NAME = "default"


@dataclass(frozen=True, slots=True)
class KeyRate:
    """Requests that a key may make: `count` in `seconds`, saved up to `count`."""

    count: int
    seconds: float


class Principal(NamedTuple):
    """Tenant and rights of a request.

    Attributes:
        key_id: id of a key in the database, `DULY_API_KEY`, or None in a service without keys.
        types: job types that a worker with this key may run; None: all.
        queues: queues from which it may claim; None: all.
        rate: requests that it may make; None: any number.
        expires_at: Unix time, by the database's clock, from which it is refused; None: never.
    """

    tenant_id: int
    tenant: str
    key_id: str | None
    scopes: KeyScopes
    types: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    rate: KeyRate | None = None
    expires_at: float | None = None

    def has(self, scope: KeyScope) -> bool:
        """Returns whether the key holds a scope."""
        return scope in self.scopes

    @property
    def reads_payload(self) -> bool:
        """Returns whether parameters, results, errors, logs and progress texts are shown."""
        return KeyScope.JOBS_PAYLOAD in self.scopes

    @property
    def actor(self) -> str:
        """Returns its name in the audit log."""
        return self.key_id or "anonymous"


def full_principal(tenant_id: int, *, key_id: str | None) -> Principal:
    """Returns the principal with every scope: that of `DULY_API_KEY`, or of a service without keys."""
    return Principal(tenant_id, DEFAULT_TENANT_NAME, key_id, ALL_SCOPES)
