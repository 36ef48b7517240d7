"""Rights of a stream ticket: jobs that it reads, and submissions that it allows. None stands for an API key, or an open
service.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from duly.api.jobs.long_poll import find_job
from duly.domain.job import JobView
from duly.domain.ticket_grant import Grant
from duly.errors import Forbidden, Invalid, NotFound, PathError
from duly.lifecycle.submit.submission_model import MOST_SUBMISSION_LABELS, Submission
from duly.node import Node
from duly.stream.filter import EventFilter

# Members of a submission that reach jobs other than those of the ticket.
_REACHING = {"unique_key": "uniqueKey", "concurrency_key": "concurrencyKey", "depends_on": "dependsOn"}


async def read_granted(
    node: Node, tenant_id: int, job_id: UUID, *, grant: Grant | None, own: Collection[UUID] = ()
) -> JobView:
    """Returns a job in its current state. `own` are jobs that were submitted with the ticket.

    Raises:
        NotFound: the tenant has no such job, or the ticket does not grant it.
    """
    view = await find_job(node, tenant_id, job_id)
    if grant is None or job_id in own or grant.shows(job_id, batch_id=view.batch_id, labels=view.labels):
        return view
    raise NotFound("Job not found.")


def within(grant: Grant | None, event_filter: EventFilter) -> EventFilter:
    """Returns a filter narrowed to the jobs of the ticket.

    Raises:
        Forbidden: the ticket is for a single job.
    """
    if grant is None or not grant.limited:
        return event_filter
    if grant.job_id is not None:
        raise Forbidden(
            "This ticket is for one job.",
            reason=f"Follow it at /api/v1/jobs/{grant.job_id}/events/stream, or subscribe to its id.",
        )
    if grant.batch_id is not None:
        return event_filter._replace(within=EventFilter(batches=frozenset({grant.batch_id})))
    labels = frozenset((name, frozenset({value})) for name, value in (grant.labels or {}).items())
    return event_filter._replace(within=EventFilter(labels=labels))


def granted_submission(grant: Grant | None, submission: Submission, value: dict[str, Any]) -> None:
    """Adds the labels of the ticket to a submission, and to its JSON value.

    Raises:
        Forbidden: the ticket allows no submissions, or not this one.
    """
    if grant is None:
        return
    if not grant.submit:
        raise Forbidden("This ticket does not allow submitting.", reason='Request one with `"submit": true`.')
    if not grant.limited:
        return
    for attribute, name in _REACHING.items():
        if getattr(submission, attribute):
            raise Forbidden(
                f"This ticket does not allow {name}: it would affect jobs outside of the ticket.",
                reason='Request a ticket for `"all": true`.',
            )
    _add_labels(grant, submission, value)


def _add_labels(grant: Grant, submission: Submission, value: dict[str, Any]) -> None:
    for name, text in (grant.labels or {}).items():
        if submission.labels.get(name, text) != text:
            raise Forbidden(f'This ticket allows submitting with the label "{name}: {text}" only.')
    if grant.labels:
        submission.labels = {**submission.labels, **grant.labels}
        value["labels"] = submission.labels
        if len(submission.labels) > MOST_SUBMISSION_LABELS:
            message = f"more than {MOST_SUBMISSION_LABELS} labels, with those of the ticket"
            raise Invalid.at([PathError("job.labels", message)])
