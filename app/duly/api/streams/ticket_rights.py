"""Rights of a ticket's bearer: what it reads, and what it submits. `None` stands for a key, or an open service."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from duly.api.jobs.long_poll import read_job
from duly.domain.grant import Grant
from duly.domain.job import DEFAULT_TENANT, JobView
from duly.errors import Forbidden, Invalid, NotFound, PathError
from duly.lifecycle.submit.submission_model import MOST_SUBMISSION_LABELS, Submission
from duly.node import Node
from duly.stream.filter import EventFilter

# Members of a submission that reach jobs beyond those that the ticket names.
_REACHING = ("uniqueKey", "concurrencyKey", "dependsOn")


async def read_granted(node: Node, grant: Grant | None, job_id: UUID, *, own: Collection[UUID] = ()) -> JobView:
    """Returns the job as it stands. `own` are jobs that the bearer submitted.

    Raises:
        NotFound: there is no such job, or it is not the ticket's.
    """
    view = await read_job(node, DEFAULT_TENANT, job_id)
    if grant is None or job_id in own or grant.shows(job_id, batch_id=view.batch_id, labels=view.labels):
        return view
    raise NotFound("There is no such job.")


def within(grant: Grant | None, wanted: EventFilter) -> EventFilter:
    """Returns a filter narrowed to what the ticket names.

    Raises:
        Forbidden: it names a single job.
    """
    if grant is None or not grant.limited:
        return wanted
    if grant.job_id is not None:
        raise Forbidden(
            "This ticket opens one job.",
            reason=f"Follow it at /api/v1/jobs/{grant.job_id}/events/stream, or by its id.",
        )
    if grant.batch_id is not None:
        return wanted._replace(within=EventFilter(batches=frozenset({grant.batch_id})))
    labels = frozenset((name, frozenset({value})) for name, value in (grant.labels or {}).items())
    return wanted._replace(within=EventFilter(labels=labels))


def granted_submission(grant: Grant | None, submission: Submission, asked: dict[str, Any]) -> None:
    """Puts the labels that the ticket names on a submission, and into `asked`, its JSON value.

    Raises:
        Forbidden: the ticket submits nothing, or not this.
    """
    if grant is None:
        return
    if not grant.submit:
        raise Forbidden("This ticket does not submit jobs.", reason='Ask for one with `"submit": true`.')
    if not grant.limited:
        return
    for name in _REACHING:
        if getattr(submission, name):
            raise Forbidden(
                f"This ticket submits no job with {name}.",
                reason='It would reach jobs that the ticket does not name; one for `"all": true` may.',
            )
    for name, value in (grant.labels or {}).items():
        if submission.labels.get(name, value) != value:
            raise Forbidden(f'This ticket submits jobs with the label "{name}: {value}" only.')
    if grant.labels:
        submission.labels = {**submission.labels, **grant.labels}
        asked["labels"] = submission.labels
        if len(submission.labels) > MOST_SUBMISSION_LABELS:
            raise Invalid.at([PathError("job.labels", f"are more than {MOST_SUBMISSION_LABELS}, with the ticket's")])
