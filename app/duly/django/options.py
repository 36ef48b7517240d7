"""Member `OPTIONS` of a backend in the setting `TASKS`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from duly.transactional import DEFAULT_SCHEMA

_NAMES = ("URL", "API_KEY", "DATABASE", "SCHEMA", "MAX_ATTEMPTS", "TIMEOUT_SECONDS")


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """Options of a backend.

    Attributes:
        url: URL of the service, for results; also for submissions if there is no `database`.
        api_key: API key, if the service requires one.
        database: alias of the database whose transactions submit; `default` if there is neither this nor a URL.
        schema: schema of the function `submit` in that database.
        max_attempts: maximum number of attempts of each task; None: 5.
        timeout_seconds: maximum time of each attempt; None: an hour.
    """

    url: str | None
    api_key: str | None
    database: str | None
    schema: str
    max_attempts: int | None
    timeout_seconds: float | None


def read_options(alias: str, options: Mapping[str, Any]) -> BackendOptions:
    """Returns the options of the backend with this alias.

    Raises:
        ImproperlyConfigured: an option is unknown.
    """
    if unknown := options.keys() - set(_NAMES):
        raise ImproperlyConfigured(
            f'TASKS["{alias}"]["OPTIONS"] has the unknown member {min(unknown)!r}; Duly knows {", ".join(_NAMES)}'
        )
    url = options.get("URL")
    return BackendOptions(
        url=url,
        api_key=options.get("API_KEY"),
        database=options.get("DATABASE", None if url else "default"),
        schema=options.get("SCHEMA", DEFAULT_SCHEMA),
        max_attempts=options.get("MAX_ATTEMPTS"),
        timeout_seconds=options.get("TIMEOUT_SECONDS"),
    )
