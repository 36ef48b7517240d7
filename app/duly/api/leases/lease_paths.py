"""Leases in requests: their ids, and the rights of the key."""

from collections.abc import Iterable

from duly.api.server.scope_values import RequestScope, node_of, principal_of, tenant_of
from duly.domain.lease_id import Lease, read_lease_id
from duly.errors import NotAllowedByKey, NotFound

PATH = "/api/v1/leases"


def lease_of(scope: RequestScope, lease_id: str) -> Lease:
    """Returns the lease of an id. Any text that is not an id of the tenant gets the same response.

    Raises:
        NotFound: it is not.
    """
    lease = read_lease_id(lease_id, node_of(scope).keyring, tenant_id=tenant_of(scope))
    if lease is None:
        raise NotFound("Lease not found.")
    return lease


def allowed_types(scope: RequestScope, types: Iterable[str]) -> frozenset[str]:
    """Returns the job types to claim.

    Raises:
        NotAllowedByKey: the key is bound to others.
    """
    return _allowed("job type", frozenset(types), principal_of(scope).types)


def allowed_queues(scope: RequestScope, queues: Iterable[str] | None) -> frozenset[str] | None:
    """Returns the queues to claim from: None for all, unless the key is bound to some.

    Raises:
        NotAllowedByKey: the key is bound to others.
    """
    bound = principal_of(scope).queues
    return bound if queues is None else _allowed("queue", frozenset(queues), bound)


def _allowed(what: str, names: frozenset[str], bound: frozenset[str] | None) -> frozenset[str]:
    if bound is not None and (others := sorted(names - bound)):
        raise NotAllowedByKey.of(what, others)
    return names
