"""Settings: each `DULY_` environment variable with its default. Flags of `duly serve` override the environment."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from duly.domain.builtin_types import ALL, chosen_builtin_types
from duly.domain.cells import read_cells
from duly.domain.egress_policy import EgressPolicy, parse_networks
from duly.domain.egress_ports import RECEIVER_PORTS, parse_ports
from duly.domain.forwarded import path_prefix
from duly.domain.node_role import Role
from duly.domain.retry import WEBHOOK_SCHEDULE_SECONDS
from duly.domain.sealing import parse_keys
from duly.domain.tenant import MOST_QUEUES
from duly.domain.web_origin import allowed_host, web_origin
from duly.domain.webhook_secret import check_secret
from duly.secret_file import SecretFile, secret_file

_PUBLIC_URL = re.compile(r"(https?://[^/?#\s]+)((?:/[^?#\s]*)?)")
CommaSeparated = Annotated[tuple[str, ...], NoDecode]
# Settings that may be read from a file: `DULY_API_KEY_FILE` names that of `DULY_API_KEY`.
SECRETS = ("database_url", "cells", "api_key", "metrics_key", "webhook_secret", "secret_keys")


class Settings(BaseSettings):
    """Settings of one process. Lists are comma-separated, sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="DULY_", env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0: any free port")
    database_url: SecretStr | None = Field(default=None, description="URL of Postgres; none: the embedded PostgreSQL")
    database_schema: str | None = Field(
        default=None, description="schema of all tables; none: the first of the search path"
    )
    cells: SecretStr | None = Field(
        default=None,
        description="URLs of all cells with their schemas, such as `postgresql://host/jobs#cell_0`, separated by "
        "spaces, in order of their numbers; none: one database",
    )
    work_cells: Annotated[tuple[int, ...], NoDecode] = Field(
        default=(), description="numbers of the cells whose jobs this process runs; none: all"
    )
    data_dir: Path | None = Field(default=None, description="data folder; none: the platform's user data folder")
    handlers: CommaSeparated = Field(default=(), description="modules that define a Handlers object")
    builtin_types: CommaSeparated = Field(
        default=(ALL,), description="built-in job types of this service: their names, or `all` or `none`"
    )
    processes: int = Field(default=1, ge=1, le=64)
    roles: Annotated[tuple[Role, ...], NoDecode] = tuple(Role)
    worker_slots: int = Field(default=100, ge=1, le=10_000, description="jobs that run at once in a process")
    waiting_attempts: int = Field(
        default=10_000, ge=1, le=100_000, description="parked attempts in a process, in addition to its slots"
    )
    lease_seconds: float = Field(
        default=8, ge=1, le=3600, description="time after which a node without heartbeat is lost"
    )
    shutdown_grace_seconds: float = Field(default=30, ge=0, le=3600)
    api_key: SecretStr | None = Field(
        default=None, description="key with every scope for the tenant `default`, beside those made with `duly keys`"
    )
    metrics_key: SecretStr | None = Field(
        default=None, description="bearer token for /metrics; none: metrics need no key"
    )
    webhook_allow_networks: CommaSeparated = Field(default=(), description="private networks that webhooks may call")
    webhook_ports: CommaSeparated = Field(
        default=tuple(str(RECEIVER_PORTS).split(", ")),
        description="ports and ranges that webhooks may call on public addresses",
    )
    webhook_timeout_seconds: float = Field(
        default=15, ge=0.1, le=3600, description="total time for one delivery attempt"
    )
    webhook_connect_seconds: float = Field(
        default=5, ge=0.1, le=3600, description="time for connecting, within the total"
    )
    webhook_retry_seconds: Annotated[tuple[float, ...], NoDecode] = WEBHOOK_SCHEDULE_SECONDS
    webhook_disable_seconds: float = Field(
        default=5 * 86_400, gt=0, description="time of uninterrupted failure after which an endpoint is disabled"
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="signs webhooks of jobs without a secret; none: generated and kept in the data folder"
    )
    secret_keys: SecretStr | None = Field(
        default=None,
        description="`id:key,...`, the first encrypts secrets; none: generated and kept in the data folder",
    )
    log_format: Literal["console", "json"] | None = Field(
        default=None, description="none: console on a terminal, else json"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: bool = Field(default=True, description="log each request that is refused or changes state")

    database_connections: int = Field(
        default=6, ge=4, le=200, description="connections of a process to each database; a few more while all hang"
    )
    database_wait_seconds: float = Field(
        default=60, ge=0, le=3600, description="time that a start waits for a database that does not answer"
    )
    transaction_pooling: bool = Field(
        default=False,
        description="behind a transaction pooler: no LISTEN, and prepared statements only where it keeps them",
    )
    retention_days: int = Field(default=30, ge=1, le=3650, description="days that ended jobs are kept")
    body_limit: int = Field(default=1 << 20, ge=1 << 10)
    batch_body_limit: int = Field(default=8 << 20, ge=1 << 10, description="size of a batch as one JSON document")
    ndjson_limit: int = Field(default=1 << 30, ge=1 << 10, description="size of a batch as NDJSON")
    parameters_limit: int = Field(default=256 << 10, ge=1 << 10)
    result_limit: int = Field(default=1 << 20, ge=1 << 10)
    log_lines: int = Field(default=1000, ge=0, le=100_000, description="log lines kept for each attempt")
    json_depth: int = Field(default=64, ge=4, le=512)
    submit_rate: float | None = Field(default=None, gt=0, le=1e6, description="submissions per second; none: unlimited")
    submit_burst: int | None = Field(
        default=None, ge=1, le=10_000_000, description="burst of submissions; none: ten seconds of the rate"
    )
    backlog_limit: int | None = Field(
        default=None, ge=1, le=100_000_000, description="jobs that may wait in a queue; none: unlimited"
    )
    max_queues_per_tenant: int = Field(
        default=MOST_QUEUES, ge=1, le=1_000_000, description="queues that each tenant may use"
    )
    stream_buffer: int = Field(default=1_000, ge=1, le=100_000, description="events buffered for streams of all jobs")
    stream_limit: int = Field(default=5_000, ge=1, le=1_000_000, description="open streams and sockets of a process")
    connection_limit: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="open connections of a process, lowered to fit the limit of open files",
    )
    connections_per_address: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="open connections from one address; none: three quarters of the total",
    )
    allowed_origins: CommaSeparated = Field(
        default=(), description="origins of other sites whose pages may open streams and sockets"
    )
    allowed_hosts: CommaSeparated = Field(
        default=(), description="hosts, in addition to loopback, that requests without an API key may name"
    )
    root_path: str = Field(default="", description="path prefix under which a proxy serves Duly, such as /duly")
    public_url: str | None = Field(
        default=None, description="URL under which people reach the service, for links; none: the address on loopback"
    )
    trusted_proxies: CommaSeparated = Field(
        default=(),
        description="networks of trusted proxies, whose forwarded headers are used; none: no proxy is trusted",
    )
    submit_buffer: int = Field(default=5_000, ge=1, description="submissions that may wait for the database")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the sources: flags precede files of secrets, which precede the environment."""
        del dotenv_settings, file_secret_settings  # those of pydantic-settings, which are not used
        return init_settings, _SecretFiles(settings_cls), env_settings

    @field_validator(*SECRETS, mode="before")
    @classmethod
    def _read_secret(cls, value: object) -> object:
        return value.read() if isinstance(value, SecretFile) else value

    @field_validator(
        *("handlers", "webhook_allow_networks", "webhook_ports", "roles", "webhook_retry_seconds", "allowed_origins"),
        *("allowed_hosts", "trusted_proxies", "builtin_types", "work_cells"),
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("builtin_types")
    @classmethod
    def _are_builtin(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        chosen_builtin_types(value)
        return value

    @field_validator("webhook_allow_networks", "trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(",".join(value))
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_read(web_origin, one, "an origin such as https://app.example.com") for one in value)

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            _read(allowed_host, one, "a host such as duly.example.com or duly.example.com:8000") for one in value
        )

    @field_validator("root_path")
    @classmethod
    def _is_a_prefix(cls, value: str) -> str:
        prefix = path_prefix(value)
        if prefix is None:
            raise ValueError(f"{value!r} is not a path such as /duly or /tools/duly")
        return prefix

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        found = _PUBLIC_URL.fullmatch(value) if value is not None else None
        if value is not None and (found is None or web_origin(found[1]) is None or path_prefix(found[2]) is None):
            raise ValueError(f"{value!r} is not a URL such as https://jobs.example.com or https://example.com/duly")
        return value.rstrip("/") if value is not None else None

    @field_validator("database_schema")
    @classmethod
    def _is_a_schema(cls, value: str | None) -> str | None:
        if value is not None and (len(value.encode()) > 63 or "\0" in value or value.startswith("pg_")):  # noqa: PLR2004  # NAMEDATALEN
            raise ValueError(f"{value!r} is not a valid schema name (at most 63 bytes, not beginning with pg_)")
        return value

    @field_validator("cells")
    @classmethod
    def _are_cells(cls, value: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        if value is not None:
            if others.data.get("database_url") is not None:
                raise ValueError("is set together with DULY_DATABASE_URL; remove one of the two")
            read_cells(value.get_secret_value(), schema=others.data.get("database_schema"))
        return value

    @field_validator("work_cells")
    @classmethod
    def _are_numbers_of_cells(cls, value: tuple[int, ...], others: ValidationInfo) -> tuple[int, ...]:
        cells: SecretStr | None = others.data.get("cells")
        count = len(cells.get_secret_value().split()) if cells is not None else 0
        if value and not count:
            raise ValueError("is set without DULY_CELLS; remove it")
        if unknown := [number for number in value if not 0 <= number < count]:
            raise ValueError(f"names cell {unknown[0]}; DULY_CELLS lists cells 0 to {count - 1}")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_secret(value.get_secret_value())
        return value

    @field_validator("secret_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_keys(value.get_secret_value())
        return value

    @field_validator("webhook_ports")
    @classmethod
    def _are_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_ports(",".join(value))
        return value

    @field_validator("data_dir", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @property
    def egress(self) -> EgressPolicy:
        """Returns the networks and ports that webhooks and `http.request` may call."""
        return EgressPolicy(
            parse_networks(",".join(self.webhook_allow_networks)), parse_ports(",".join(self.webhook_ports))
        )

    @property
    def heartbeat_seconds(self) -> float:
        """Returns a third of the lease, so that two heartbeats may be missed."""
        return self.lease_seconds / 3


class _SecretFiles(PydanticBaseSettingsSource):
    """Source of the secrets whose files the environment names; they are read when they are validated."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[SecretFile | None, str, bool]:
        del field
        return secret_file(f"DULY_{field_name.upper()}"), field_name, False

    def __call__(self) -> dict[str, SecretFile]:
        found = {name: secret_file(f"DULY_{name.upper()}") for name in SECRETS}
        return {name: file for name, file in found.items() if file is not None}


def _read(read: Callable[[str], str | None], text: str, expected: str) -> str:
    """Returns the parsed item of a list.

    Raises:
        ValueError: the item is not `expected`.
    """
    found = read(text)
    if found is None:
        raise ValueError(f"{text!r} is not {expected}")
    return found


def unknown_variables() -> list[str]:
    """Returns the environment variables that begin with `DULY_` and are not settings, such as misspelt ones."""
    known = {f"DULY_{name.upper()}" for name in Settings.model_fields} | {"DULY_URL", "DULY_DEMO_OUTPUT"}
    known |= {f"DULY_{name.upper()}_FILE" for name in SECRETS}
    return sorted(name for name in os.environ if name.startswith("DULY_") and name not in known)
