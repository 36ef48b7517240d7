"""Body of `duly types`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from duly.cli.client_arguments import connect
from duly.cli.errors import CommandLineError
from duly.cli.typegen.job_types import JobTypeSchemas, write_types
from duly.handlers.discovery import load_users_own
from duly.handlers.exceptions import HandlerError
from duly.lifecycle.job_types.handler_declarations import declaration_of


def run_types(
    language: Literal["py", "ts"], *, modules: list[str], names: list[str], output: Path | None, url: str
) -> None:
    """Writes the types of job types that modules with handlers declare; without modules, of a service's."""
    found = list(_of_handlers(modules) if modules else _of_service(url))
    written = write_types(_chosen(found, names), language=language)
    if output is None:
        print(written, end="")
    else:
        output.write_text(written, encoding="utf-8")


def _of_service(url: str) -> Iterator[JobTypeSchemas]:
    with connect(url) as client:
        for found in client.job_types.list():
            yield JobTypeSchemas(found["type"], found["parametersSchema"], found["resultSchema"])


def _of_handlers(modules: list[str]) -> Iterator[JobTypeSchemas]:
    try:
        registry = load_users_own(modules)
    except HandlerError as error:
        raise CommandLineError(f"--handlers: {error}") from error
    for handler in registry.values():
        declared = declaration_of(handler)
        yield JobTypeSchemas(handler.type, json.loads(declared.parameters_schema), json.loads(declared.result_schema))


def _chosen(found: list[JobTypeSchemas], names: list[str]) -> list[JobTypeSchemas]:
    if unknown := set(names) - {one.type for one in found}:
        raise CommandLineError(f"--type: unknown job type {min(unknown)!r}")
    return [one for one in found if not names or one.type in names]
