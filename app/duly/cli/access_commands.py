"""Commands `duly keys`, `duly tenants` and `duly submitters`, with their flags. They work on the database directly."""

from datetime import datetime
from typing import Annotated, Any

import typer

from duly.cli.client_arguments import AsJson
from duly.cli.operator_commands import DatabaseUrl, DataDir
from duly.domain.key_scope import KeyScope
from duly.domain.principal import DEFAULT_TENANT_NAME

TenantName = Annotated[str, typer.Option("--tenant", metavar="TENANT", help="Tenant (default: default).")]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Key ID: the 16 characters after duly_.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="TENANT", help="Tenant name.", show_default=False)]
RoleName = Annotated[str, typer.Argument(metavar="ROLE", help="Role of the database.", show_default=False)]
SubmitRate = Annotated[str | None, typer.Option("--submit-rate", metavar="N", help="Jobs submitted per second.")]
SubmitBurst = Annotated[
    str | None,
    typer.Option("--submit-burst", metavar="N", help="Jobs submitted at once (default: ten seconds' worth)."),
]
BacklogLimit = Annotated[str | None, typer.Option("--backlog-limit", metavar="N", help="Jobs waiting in a queue.")]
RetentionDays = Annotated[
    str | None, typer.Option("--retention-days", metavar="N", help="Days that ended jobs are kept at least.")
]
MaxEndpoints = Annotated[str | None, typer.Option("--max-endpoints", metavar="N", help="Webhooks.")]
MaxSchedules = Annotated[str | None, typer.Option("--max-schedules", metavar="N", help="Schedules.")]
MaxKeys = Annotated[str | None, typer.Option("--max-keys", metavar="N", help="Valid API keys.")]
MaxQueues = Annotated[str | None, typer.Option("--max-queues", metavar="N", help="Queues in use.")]

# The bodies are imported by the command that runs, so that `--help` and the other commands start fast.


def keys() -> typer.Typer:
    """Returns the group of commands `duly keys`."""
    commands = typer.Typer(
        help="Manage API keys, in the database directly.", no_args_is_help=True, rich_markup_mode=None
    )
    commands.command("create")(create_key)
    commands.command("list")(list_keys)
    commands.command("revoke")(revoke_key)
    commands.command("rotate")(rotate_key)
    return commands


def tenants() -> typer.Typer:
    """Returns the group of commands `duly tenants`."""
    commands = typer.Typer(
        help="Manage tenants and their limits, in the database directly.", no_args_is_help=True, rich_markup_mode=None
    )
    commands.command("create")(create_tenant)
    commands.command("list")(list_tenants)
    commands.command("set")(set_tenant)
    return commands


def submitters() -> typer.Typer:
    """Returns the group of commands `duly submitters`."""
    commands = typer.Typer(
        help="Manage the database roles that may call duly.submit.", no_args_is_help=True, rich_markup_mode=None
    )
    commands.command("grant")(grant_submitter)
    commands.command("revoke")(revoke_submitter)
    commands.command("list")(list_submitters)
    return commands


def create_key(  # noqa: PLR0913  # each is a flag
    name: Annotated[str, typer.Argument(metavar="NAME", help="Purpose or owner of the key.", show_default=False)],
    *,
    scope: Annotated[list[KeyScope], typer.Option("--scope", help="Scope; repeat for several.", show_default=False)],
    tenant: TenantName = DEFAULT_TENANT_NAME,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Job type that a worker may run; repeat for several.")
    ] = None,
    queue: Annotated[
        list[str] | None, typer.Option("--queue", help="Queue that a worker may claim from; repeat for several.")
    ] = None,
    expires_at: Annotated[
        datetime | None,
        typer.Option("--expires-at", metavar="TIME", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Expiry, in UTC."),
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="N/SECONDS", help="Requests per time, such as 100/60.")
    ] = None,
    as_json: AsJson = False,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Create an API key and print it. It is not shown again."""
    from duly.cli.keys import KeyFlags, run_create  # noqa: PLC0415

    flags = KeyFlags(name, scope, type_ or None, queue or None, expires_at, rate)
    run_create(_settings(database_url, data_dir), tenant, flags, as_json=as_json)


def list_keys(
    *,
    tenant: TenantName = DEFAULT_TENANT_NAME,
    as_json: AsJson = False,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """List the API keys of a tenant, without their secrets."""
    from duly.cli.keys import run_list  # noqa: PLC0415

    run_list(_settings(database_url, data_dir), tenant, as_json=as_json)


def revoke_key(
    key: KeyId,
    *,
    tenant: TenantName = DEFAULT_TENANT_NAME,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Revoke an API key. Running services refuse it within 5 seconds."""
    from duly.cli.keys import run_revoke  # noqa: PLC0415

    run_revoke(_settings(database_url, data_dir), tenant, key)


def rotate_key(
    key: KeyId,
    *,
    tenant: TenantName = DEFAULT_TENANT_NAME,
    overlap_seconds: Annotated[
        int, typer.Option("--overlap-seconds", min=0, max=30 * 86_400, help="Seconds that the old key stays valid.")
    ] = 86_400,
    as_json: AsJson = False,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Replace an API key and print the new one. It is not shown again."""
    from duly.cli.keys import run_rotate  # noqa: PLC0415

    run_rotate(_settings(database_url, data_dir), tenant, key, overlap_seconds=overlap_seconds, as_json=as_json)


def create_tenant(  # noqa: PLR0913  # each is a flag
    name: Name,
    *,
    submit_rate: SubmitRate = None,
    submit_burst: SubmitBurst = None,
    backlog_limit: BacklogLimit = None,
    retention_days: RetentionDays = None,
    max_endpoints: MaxEndpoints = None,
    max_schedules: MaxSchedules = None,
    max_keys: MaxKeys = None,
    max_queues: MaxQueues = None,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Create a tenant. Limits that are not given are those of the installation."""
    from duly.cli.tenants import run_create  # noqa: PLC0415

    limits = [
        submit_rate,
        submit_burst,
        backlog_limit,
        retention_days,
        max_endpoints,
        max_schedules,
        max_keys,
        max_queues,
    ]
    run_create(_settings(database_url, data_dir), name, limits)


def list_tenants(*, as_json: AsJson = False, database_url: DatabaseUrl = None, data_dir: DataDir = None) -> None:
    """List the tenants and their limits."""
    from duly.cli.tenants import run_list  # noqa: PLC0415

    run_list(_settings(database_url, data_dir), as_json=as_json)


def set_tenant(  # noqa: PLR0913  # each is a flag
    name: Name,
    *,
    submit_rate: SubmitRate = None,
    submit_burst: SubmitBurst = None,
    backlog_limit: BacklogLimit = None,
    retention_days: RetentionDays = None,
    max_endpoints: MaxEndpoints = None,
    max_schedules: MaxSchedules = None,
    max_keys: MaxKeys = None,
    max_queues: MaxQueues = None,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Change limits of a tenant; "none" restores the limit of the installation."""
    from duly.cli.tenants import run_set  # noqa: PLC0415

    limits = [
        submit_rate,
        submit_burst,
        backlog_limit,
        retention_days,
        max_endpoints,
        max_schedules,
        max_keys,
        max_queues,
    ]
    run_set(_settings(database_url, data_dir), name, limits)


def grant_submitter(
    role: RoleName,
    *,
    tenant: TenantName = DEFAULT_TENANT_NAME,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Let a database role submit jobs for a tenant, in its own transactions."""
    from duly.cli.submitters import run_grant  # noqa: PLC0415

    run_grant(_settings(database_url, data_dir), tenant, role)


def revoke_submitter(
    role: RoleName,
    *,
    tenant: TenantName = DEFAULT_TENANT_NAME,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Forbid a database role to submit jobs for a tenant."""
    from duly.cli.submitters import run_revoke  # noqa: PLC0415

    run_revoke(_settings(database_url, data_dir), tenant, role)


def list_submitters(*, as_json: AsJson = False, database_url: DatabaseUrl = None, data_dir: DataDir = None) -> None:
    """List the database roles and the tenants that they may submit for."""
    from duly.cli.submitters import run_list  # noqa: PLC0415

    run_list(_settings(database_url, data_dir), as_json=as_json)


def _settings(database_url: str | None, data_dir: object) -> dict[str, Any]:
    return {"database_url": database_url, "data_dir": data_dir}
