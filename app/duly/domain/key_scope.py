"""Scopes of API keys."""

from enum import StrEnum
from typing import Final


class KeyScope(StrEnum):
    """Right that an API key holds. No scope includes another."""

    JOBS_READ = "jobs:read"
    JOBS_PAYLOAD = "jobs:payload"
    JOBS_WRITE = "jobs:write"
    WEBHOOKS = "webhooks"
    SCHEDULES = "schedules"
    WORKER = "worker"
    ADMIN = "admin"
    OPERATOR = "operator"


KeyScopes = frozenset[KeyScope]
ALL_SCOPES: Final[KeyScopes] = frozenset(KeyScope)


def may_manage(manager: KeyScopes, key: KeyScopes) -> bool:
    """Returns whether a holder of `admin` may make, rotate or revoke a key with these scopes: one with `operator` only
    if it holds that scope itself.
    """
    return KeyScope.OPERATOR not in key or KeyScope.OPERATOR in manager


def ordered(scopes: KeyScopes) -> list[str]:
    """Returns the scopes in the order of their declaration, as texts."""
    return [str(scope) for scope in KeyScope if scope in scopes]
