"""Environment of a command: validated settings, secrets and a database."""

import asyncio
import os
import pwd
import secrets
import socket
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from duly.cli.database_wait import DatabaseWait
from duly.cli.errors import stop
from duly.domain.audit import Actor
from duly.domain.cells import Cell
from duly.domain.sealing import InvalidKeys, new_key, parse_keys
from duly.embedded.server import EmbeddedError, EmbeddedServer, default_data_dir, embedded_server
from duly.settings import Settings
from duly.store.access.version import has_keys
from duly.store.postgres.database import Database, DatabaseError
from duly.store.postgres.database_url import InvalidDatabaseUrl, location_of, parse_url
from duly.telemetry.structured_logs import configure_logs


@dataclass(frozen=True, slots=True)
class OpenedDatabase:
    """Database of a command. `server` is set if it is the embedded one; `cells`, if there are several.

    Then `url` is that of the first one.
    """

    url: str
    server: EmbeddedServer | None
    cells: tuple[Cell, ...] = ()

    @property
    def location(self) -> str:
        """Returns where the database is, without a password."""
        if self.cells:
            return f"{len(self.cells)} cells: {'; '.join(map(location_of_cell, self.cells))}"
        if self.server is not None:
            return f"embedded PostgreSQL in {self.server.data_folder}"
        return " or ".join(location_of(url) for url in parse_url(self.url).urls)


def read_settings(flags: dict[str, Any]) -> Settings:
    """Returns the settings from flags and environment, or ends the command if they are invalid."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value not in (None, [], ())})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"][:1])
        stop(f"DULY_{name.upper()} (or its flag): {first['msg'].removeprefix('Value error, ')}", code=2)


def data_dir(settings: Settings) -> Path:
    return (settings.data_dir or default_data_dir()).absolute()


def actor() -> Actor:
    """Returns the author of changes made by this command, for the audit log.

    The user is that of the process: `getpass.getuser` would believe `LOGNAME`.
    """
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user id without a name, as in containers
        user = str(os.getuid())
    return Actor(f"cli:{user}@{socket.gethostname()}")


@contextmanager
def opened_database(settings: Settings) -> Iterator[OpenedDatabase]:
    """Yields the configured database, or the embedded one, started if it is not running."""
    if settings.cells is not None:
        cells = checked_cells(settings)
        yield OpenedDatabase(cells[0].url, None, cells)
        return
    if settings.database_url is not None:
        yield OpenedDatabase(_checked(settings.database_url.get_secret_value()), None)
        return
    try:
        with embedded_server(data_dir(settings)) as server:
            yield OpenedDatabase(server.url, server)
    except EmbeddedError as error:
        stop(str(error))


def checked_cells(settings: Settings) -> tuple[Cell, ...]:
    """Returns the cells of the settings, or ends the command if they cannot be used."""
    from duly.cells.cell_list import InvalidCells, cell_list  # noqa: PLC0415  # of installations with several cells

    try:
        cells = cell_list(settings)
    except InvalidCells as error:
        stop(f"DULY_CELLS: {error}", code=2)
    for cell in cells:
        _checked(cell.url)
    return cells


def location_of_cell(cell: Cell) -> str:
    """Returns where the database of a cell is, without a password, and its schema."""
    place = " or ".join(location_of(url) for url in parse_url(cell.url).urls)
    return f"{place}#{cell.schema}" if cell.schema is not None else place


def _checked(url: str) -> str:
    try:
        target = parse_url(url)
    except InvalidDatabaseUrl as error:
        stop(f"DULY_DATABASE_URL (or its flag) {error}", code=2)
    for option, path in target.files:
        if not os.access(Path(path).expanduser(), os.R_OK):
            stop(f"DULY_DATABASE_URL (or its flag): cannot read the file of option {option!r}: {path}", code=2)
    return url


def new_database(settings: Settings, url: str) -> Database:
    return Database(
        url,
        connections=settings.database_connections,
        transaction_pooling=settings.transaction_pooling,
        schema=settings.database_schema,
    )


def require_key_beyond_loopback(settings: Settings, opened: OpenedDatabase) -> None:
    """Ends the command if the service listens beyond loopback, and has no API key: neither set nor in its database."""
    if settings.api_key is not None or is_loopback(settings.host):
        return
    failure = ""
    try:
        if asyncio.run(_has_keys_soon(_settings_of_home(settings, opened), opened.url)):
            return
    except DatabaseError as error:
        failure = f"; its database cannot be read: {error.line}"
    stop(
        f"an API key is required to listen on {settings.host}, which other machines can reach; "
        f"create one with `duly keys create`, set DULY_API_KEY, or listen on 127.0.0.1{failure}"
    )


def _settings_of_home(settings: Settings, opened: OpenedDatabase) -> Settings:
    """Returns the settings with the schema of cell 0, which has the keys."""
    return settings.model_copy(update={"database_schema": opened.cells[0].schema}) if opened.cells else settings


async def _has_keys_soon(settings: Settings, url: str) -> bool:
    """Returns whether there are keys, once the database answers."""
    configure_logs(settings.log_format, settings.log_level)
    awaited = DatabaseWait(settings.database_wait_seconds, asyncio.Event())
    return await awaited.retried(partial(_has_keys, settings, url))


async def _has_keys(settings: Settings, url: str) -> bool:
    database = new_database(settings, url)
    try:
        async with database.connection() as connection:
            return await has_keys(connection)
    finally:
        await database.close()


def require_secret_keys_beyond_loopback(settings: Settings) -> None:
    """Ends the command if the service listens beyond loopback with keys that exist in its data folder only."""
    if settings.secret_keys is None and not is_loopback(settings.host):
        stop(
            f"secret keys are required to listen on {settings.host}, which other machines can reach; "
            "set DULY_SECRET_KEYS to the output of `duly secrets new-key`, and keep it"
        )


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach an address to listen on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def webhook_secret(settings: Settings) -> str:
    """Returns the secret for webhooks of jobs without one: the setting, or one generated once and kept."""
    if settings.webhook_secret is not None:
        return settings.webhook_secret.get_secret_value()
    made = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
    try:
        return _kept(data_dir(settings) / "webhook-secret", made) or made
    except OSError:
        return made  # valid for this run only; the documentation recommends DULY_WEBHOOK_SECRET


def secret_keys(settings: Settings) -> str:
    """Returns the keys that encrypt secrets: the setting, or one generated once and kept.

    Ends the command if there is neither.
    """
    if settings.secret_keys is not None:
        return settings.secret_keys.get_secret_value()
    path = data_dir(settings) / "secret-keys"
    try:
        text = _kept(path, new_key())
        parse_keys(text)
    except OSError as error:
        stop(f"cannot store the key for secrets in {path}: {error.strerror}; set DULY_SECRET_KEYS")
    except InvalidKeys as error:
        stop(f"{path} does not contain secret keys: {error}")
    return text


def known_secret_keys(settings: Settings) -> str | None:
    """Returns these keys without generating any, or None if they are absent or invalid."""
    try:
        text = settings.secret_keys.get_secret_value() if settings.secret_keys is not None else None
        text = text or (data_dir(settings) / "secret-keys").read_text().strip()
        parse_keys(text)
    except (OSError, InvalidKeys):
        return None
    return text


def _kept(path: Path, made: str) -> str:
    """Returns the content of the file, created with `made` if absent and readable by its owner only.

    If several processes create it at once, one wins, and no process reads a partial file.

    Raises:
        OSError: the file can be neither read nor created.
    """
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
    _make_durable(path.parent)
    return path.read_text().strip()


def _make_durable(folder: Path) -> None:
    """Flushes the folder, so that the file survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
