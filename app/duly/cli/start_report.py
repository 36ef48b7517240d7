"""Report of a start: version, database, handlers, job types, roles, slots, key and addresses."""

import sys
from typing import Any

import structlog

from duly import __version__
from duly.cli.startup import Startup
from duly.domain.counted_noun import counted_noun
from duly.domain.node_role import Role
from duly.domain.safe_str import one_line
from duly.handlers.registry import Registry
from duly.telemetry.structured_logs import chosen_format

log = structlog.stdlib.get_logger("duly.serve")

MOST_NAMED = 12


def report_start(startup: Startup, registry: Registry, *, keyed: bool | None) -> None:
    """Prints the report on standard error: a few lines on a terminal, else one line of the log.

    Args:
        startup: the configuration of this process.
        registry: its job types.
        keyed: True if requests need an API key; None: not known, as the database cannot be read.
    """
    if not startup.reports or startup.settings.log_level not in {"debug", "info"}:
        return
    rows = _rows(startup, registry, keyed=keyed)
    if chosen_format(startup.settings.log_format) == "console":
        print(
            "\n".join([f"Duly {__version__}", *(f"  {name:<10} {one_line(text)}" for name, text in rows)]),
            file=sys.stderr,
        )
        return
    log.info(
        f"starting Duly {__version__}: {'; '.join(f'{name} {text}' for name, text in rows)}",
        **_fields(startup, registry, keyed=keyed),
    )


def _rows(startup: Startup, registry: Registry, *, keyed: bool | None) -> list[tuple[str, str]]:
    """Returns what is reported, for readers."""
    settings = startup.settings
    keys = {True: "required", False: "not required (only programs on this machine can connect)"}
    rows = [
        ("database", startup.database),
        ("handlers", ", ".join(settings.handlers) or "none (set them with --handlers MODULE)"),
        ("job types", _named(sorted(registry)) or "none"),
        ("roles", ", ".join(settings.roles)),
        ("slots", _slots(settings.worker_slots, settings.processes) if Role.WORKER in settings.roles else "none"),
        *([("API key", keys[keyed])] if keyed is not None else []),
        *_addresses(startup),
    ]
    if startup.reloads:
        rows.append(("reload", "on (for development: changed handlers replace the running ones)"))
    return rows


def _slots(slots: int, processes: int) -> str:
    return f"{counted_noun(slots, 'job')} at once" + (f" in each of {processes} processes" if processes > 1 else "")


def _named(types: list[str]) -> str:
    more = f" and {len(types) - MOST_NAMED} more" if len(types) > MOST_NAMED else ""
    return ", ".join(types[:MOST_NAMED]) + more


def _fields(startup: Startup, registry: Registry, *, keyed: bool | None) -> dict[str, Any]:
    """Returns what is reported, for programs."""
    settings = startup.settings
    return {
        "action": "starting",
        "version": __version__,
        "database": startup.database,
        "handlers": list(settings.handlers),
        "job_types": sorted(registry),
        "roles": list(settings.roles),
        "slots": settings.worker_slots,
        "processes": settings.processes,
        "key_required": keyed,
        "reload": startup.reloads,
        **{name.replace("API ", ""): url for name, url in _addresses(startup)},
    }


def _addresses(startup: Startup) -> list[tuple[str, str]]:
    """Returns the pages for people; none of a process without the API."""
    if Role.API not in startup.settings.roles:
        return []
    return [("dashboard", f"{startup.address}/ui"), ("API docs", f"{startup.address}/docs")]
