"""Body of `duly check`."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import typer

from duly.cli.accepted_jobs import accepted_as_json, accepted_summary, print_missing, read_accepted_file
from duly.cli.command_setup import actor, opened_database, read_settings
from duly.cli.each_cell import in_each_cell
from duly.cli.errors import FAILED, one_line_errors, stop
from duly.cli.output import print_json
from duly.domain.cells import CellNumber, cell_of
from duly.domain.counted_noun import counted_noun
from duly.domain.invariant_facts import Violation
from duly.domain.safe_str import one_line
from duly.lifecycle.maintenance.accepted_jobs import AcceptedReport, compare_accepted
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


class Checked(NamedTuple):
    """Result of the command; `accepted` if it was to compare with jobs that a client knows."""

    repaired: Repaired
    accepted: AcceptedReport | None

    @property
    def clean(self) -> bool:
        """True if every invariant holds and nothing accepted was lost."""
        return self.repaired.report.clean and (self.accepted is None or self.accepted.complete)


def run_check(flags: dict[str, Any], *, repairs: bool, accepted: str | None, as_json: bool) -> None:
    """Checks, repairs if asked to, prints the findings, and exits with 1 if an invariant is violated or a job of the
    file `accepted` was lost.
    """
    settings = read_settings(flags)
    with one_line_errors():
        seen = None if accepted is None else read_accepted_file(accepted)
    configure_logs(settings.log_format, settings.log_level)
    in_each_cell(settings, partial(_check_and_print, repairs=repairs, seen=seen, as_json=as_json), as_json=as_json)


def _check_and_print(
    settings: Settings, cell: CellNumber, *, repairs: bool, seen: Mapping[UUID, int] | None, as_json: bool
) -> None:
    with opened_database(settings) as opened:
        try:
            checked = asyncio.run(_check(settings, opened.url, repairs=repairs, seen=_in_cell(seen, cell)))
        except CannotCheck as error:
            stop(str(error))
    if as_json:
        print_json(_as_json(checked, repairs=repairs), indent=2)
    else:
        _print(checked)
    if not checked.clean:
        raise typer.Exit(FAILED)


def _in_cell(seen: Mapping[UUID, int] | None, cell: CellNumber) -> Mapping[UUID, int] | None:
    """Returns those of these jobs that are in a cell."""
    if seen is None:
        return None
    return {job_id: sequence for job_id, sequence in seen.items() if cell_of(job_id, cell.count) == cell.number}


async def _check(settings: Settings, url: str, *, repairs: bool, seen: Mapping[UUID, int] | None) -> Checked:
    database = Database(
        url,
        connections=CONNECTIONS,
        transaction_pooling=settings.transaction_pooling,
        schema=settings.database_schema,
    )
    try:
        if missing := await missing_revisions(database):
            raise CannotCheck(
                f"the database lacks {counted_noun(len(missing), 'migration')} ({', '.join(missing)}); "
                "run `duly migrate`"
            )
        repaired = await repair(database, by=actor()) if repairs else Repaired(report=await check(database))
        return Checked(repaired, None if seen is None else await compare_accepted(database, seen))
    except DatabaseNewer as error:
        raise CannotCheck(f"the database was migrated by a newer release: {error}; upgrade Duly") from None
    except DatabaseError as error:
        raise CannotCheck(error.line) from None
    except RepairInProgress:
        raise CannotCheck("another repair of this database is in progress; retry later") from None
    finally:
        await database.close()


def _print(checked: Checked) -> None:
    repaired, accepted = checked
    for repair_action, count in repaired.done.items():
        print(f"repaired {count:>7,}: {repair_action.value}")
    report = repaired.report
    for breach in report.shown:
        print(one_line(breach.sentence))
    if report.broken > len(report.shown):
        print(f"... and {report.broken - len(report.shown):,} more")
    if accepted is not None:
        print_missing(accepted)
    print(_summary(report))
    if accepted is not None:
        print(accepted_summary(accepted))


def _summary(report: CheckReport) -> str:
    looked = f"{counted_noun(report.jobs, 'job')} and {counted_noun(report.batches, 'batch', 'batches')}"
    if report.clean:
        return f"{looked}: all invariants hold"
    return f"{looked}: {counted_noun(report.broken, 'violation')}"


def _as_json(checked: Checked, *, repairs: bool) -> dict[str, Any]:
    repaired, accepted = checked
    report = repaired.report
    body = {
        "clean": checked.clean,
        "jobs": report.jobs,
        "batches": report.batches,
        "broken": report.broken,
        "violations": [_violation(breach) for breach in report.shown],
    }
    if repairs:
        body["repaired"] = {repair_action.name.lower(): count for repair_action, count in repaired.done.items()}
    if accepted is not None:
        body["accepted"] = accepted_as_json(accepted)
    return body


def _violation(breach: Violation) -> dict[str, str | None]:
    subject = str(breach.subject) if breach.subject is not None else None
    return {
        "jobId": None if breach.of_batch else subject,
        "batchId": subject if breach.of_batch else None,
        "message": breach.sentence,
    }
