"""Audit log: who changed what."""

from typing import Any, NamedTuple


class Actor(NamedTuple):
    """Author of a change, and the id of the request.

    Attributes:
        name: the id of an API key, `cli:user@host`, `link:recipient`, or `job:id` for its handler.
    """

    name: str
    request_id: str | None = None


class AuditEntry(NamedTuple):
    """One change.

    Attributes:
        action: kind of change, such as `key.created`.
        subject: what was changed, such as the id of the key.
        before: members before the change; None if it did not exist.
        after: members after the change; None if it no longer exists.
    """

    action: str
    subject: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
