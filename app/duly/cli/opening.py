"""What a command needs before it can work: settings that hold together, and a database to work on."""

import os
import secrets
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from duly.cli.failures import stop
from duly.cli.printing import one_line
from duly.settings import Settings
from duly.store.database import Database, UrlWrong, parse_url
from duly.store.embedded import EmbeddedError, EmbeddedServer, default_data_dir, embedded_server


@dataclass(frozen=True, slots=True)
class OpenedDatabase:
    """Where the database is; `server` only where it is the embedded one."""

    url: str
    server: EmbeddedServer | None


def read_settings(flags: dict[str, Any]) -> Settings:
    """The settings from the environment, flags first; ends the command where they are wrong."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value not in (None, [], ())})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"][:1])
        stop(f"DULY_{name.upper()} (or its flag): {first['msg'].removeprefix('Value error, ')}", code=2)


def say(message: str) -> None:
    """One line on standard error, where the command goes on to end by itself."""
    print(f"duly: {one_line(message)}", file=sys.stderr, flush=True)


def data_dir(settings: Settings) -> Path:
    return (settings.data_dir or default_data_dir()).absolute()


@contextmanager
def opened_database(settings: Settings) -> Iterator[OpenedDatabase]:
    """The database of the settings, or else the embedded one, started where it does not run."""
    if settings.database_url is not None:
        yield OpenedDatabase(_checked(settings.database_url.get_secret_value()), None)
        return
    try:
        with embedded_server(data_dir(settings)) as server:
            yield OpenedDatabase(server.url, server)
    except EmbeddedError as error:
        stop(str(error))


def _checked(url: str) -> str:
    try:
        parse_url(url)
    except UrlWrong as error:
        stop(f"DULY_DATABASE_URL (or its flag): it {error}", code=2)
    return url


def new_database(settings: Settings, url: str) -> Database:
    return Database(url, connections=settings.database_connections, transaction_pooling=settings.transaction_pooling)


def require_key_beyond_loopback(settings: Settings) -> None:
    """Without a key everybody who reaches the service may use it: so only this machine may reach it."""
    if settings.api_key is None and not _is_loopback(settings.host):
        stop(
            f"without an API key only loopback is served, and {settings.host} is reachable by others; "
            "set DULY_API_KEY, or listen on 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def webhook_secret(settings: Settings) -> str:
    """What signs the webhooks of jobs that brought no secret: the setting, or one made once and kept."""
    if settings.webhook_secret is not None:
        return settings.webhook_secret.get_secret_value()
    made = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
    path = data_dir(settings) / "webhook-secret"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made)
    except FileExistsError:
        return path.read_text().strip() or made
    except OSError:
        return made  # nowhere to keep it: good for this run, and the docs say to set DULY_WEBHOOK_SECRET
    return made
