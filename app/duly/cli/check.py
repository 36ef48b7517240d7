"""Body of `duly check`."""

import asyncio
from typing import Any

import typer

from duly.cli.command_setup import actor, opened_database, read_settings
from duly.cli.errors import FAILED, stop
from duly.cli.output import print_json
from duly.domain.invariant_facts import Violation
from duly.domain.safe_str import one_line
from duly.lifecycle.maintenance.check import CheckReport, check
from duly.lifecycle.maintenance.repair import Repaired, RepairInProgress, repair
from duly.settings import Settings
from duly.store.postgres.database import Database, DatabaseError
from duly.store.schema.revisions import DatabaseNewer, missing_revisions
from duly.telemetry.structured_logs import configure_logs

# A repair holds its lock on one connection and works on the other.
CONNECTIONS = 2


class CannotCheck(Exception):
    """Failure to check. The message names the cause and the remedy."""


def run_check(flags: dict[str, Any], *, repairs: bool, as_json: bool) -> None:
    """Checks, repairs if asked to, prints the findings, and exits with 1 if an invariant is violated."""
    settings = read_settings(flags)
    configure_logs(settings.log_format, settings.log_level)
    with opened_database(settings) as opened:
        try:
            repaired = asyncio.run(_check(settings, opened.url, repairs=repairs))
        except CannotCheck as error:
            stop(str(error))
    if as_json:
        print_json(_as_json(repaired, repairs=repairs), indent=2)
    else:
        _print(repaired)
    if not repaired.report.clean:
        raise typer.Exit(FAILED)


async def _check(settings: Settings, url: str, *, repairs: bool) -> Repaired:
    database = Database(
        url,
        connections=CONNECTIONS,
        transaction_pooling=settings.transaction_pooling,
        schema=settings.database_schema,
    )
    try:
        if missing := await missing_revisions(database):
            raise CannotCheck(
                f"the database lacks {len(missing)} migrations ({', '.join(missing)}); run `duly migrate`"
            )
        return await repair(database, by=actor()) if repairs else Repaired(report=await check(database))
    except DatabaseNewer as error:
        raise CannotCheck(f"the database was migrated by a newer release: {error}; upgrade Duly") from None
    except DatabaseError as error:
        raise CannotCheck(error.line) from None
    except RepairInProgress:
        raise CannotCheck("another repair of this database is in progress; retry later") from None
    finally:
        await database.close()


def _print(repaired: Repaired) -> None:
    for repair_action, count in repaired.done.items():
        print(f"repaired {count:>7,}: {repair_action.value}")
    report = repaired.report
    for breach in report.shown:
        print(one_line(breach.sentence))
    if report.broken > len(report.shown):
        print(f"... and {report.broken - len(report.shown):,} more")
    print(_summary(report))


def _summary(report: CheckReport) -> str:
    looked = f"{report.jobs:,} jobs and {report.batches:,} batches"
    if report.clean:
        return f"{looked}: all invariants hold"
    return f"{looked}: {report.broken:,} violations"


def _as_json(repaired: Repaired, *, repairs: bool) -> dict[str, Any]:
    report = repaired.report
    body = {
        "clean": report.clean,
        "jobs": report.jobs,
        "batches": report.batches,
        "broken": report.broken,
        "violations": [_violation(breach) for breach in report.shown],
    }
    if repairs:
        body["repaired"] = {repair_action.name.lower(): count for repair_action, count in repaired.done.items()}
    return body


def _violation(breach: Violation) -> dict[str, str | None]:
    subject = str(breach.subject) if breach.subject is not None else None
    return {
        "jobId": None if breach.of_batch else subject,
        "batchId": subject if breach.of_batch else None,
        "message": breach.sentence,
    }
