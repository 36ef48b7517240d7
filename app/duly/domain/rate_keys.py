"""Keys of queues in the rates of a node, as stored in `nodes.rates`.

The key of a queue of the default tenant is its name, as nodes of the previous release read and write it. Names of other
tenants follow their tenant and a space, which no name contains.
"""

from duly.domain.job import DEFAULT_TENANT

Queue = tuple[int, str]  # tenant and name


def rate_prefix(tenant_id: int) -> str:
    """Returns the part of the keys of a tenant before the name."""
    return "" if tenant_id == DEFAULT_TENANT else f"{tenant_id} "


def rate_key(queue: Queue) -> str:
    """Returns the key of a queue."""
    return rate_prefix(queue[0]) + queue[1]
