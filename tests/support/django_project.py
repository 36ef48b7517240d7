"""Django in the process of the tests, with the tasks of `tests.support.django_shop`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import django
import psycopg
from django.conf import settings
from django.db import connections, transaction
from django.test import override_settings

Result = TypeVar("Result")


def configure(**members: Any) -> None:
    """Configures Django once for all tests of the process."""
    if not settings.configured:
        settings.configure(**members)
    django.setup()


def database_settings(database_url: str) -> dict[str, str]:
    """Returns a member of the setting `DATABASES`."""
    parts = psycopg.conninfo.conninfo_to_dict(database_url)
    names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
    found = {name: str(parts[key]) for name, key in names.items() if key in parts}
    return {"ENGINE": "django.db.backends.postgresql", **found}


@contextmanager
def project(database_url: str, *, tasks: dict[str, Any]) -> Iterator[None]:
    """Sets Django's default database and the setting `TASKS` within the block."""
    configured = connections.configure_settings({"default": database_settings(database_url)})
    before, connections.settings = connections.settings, configured
    try:
        with override_settings(TASKS=tasks):
            yield
    finally:
        connections.settings = before


def in_transaction(work: Callable[[], Result], *, commits: bool) -> Result:
    """Runs a function in a transaction of Django. Call it in a thread."""
    try:
        with transaction.atomic():
            result = work()
            transaction.set_rollback(not commits)
        return result
    finally:
        forget_connection()


def forget_connection() -> None:
    """Closes this thread's connection, which would otherwise stay that of an earlier test's database."""
    if hasattr(connections._connections, "default"):
        connections["default"].close()
        del connections["default"]
