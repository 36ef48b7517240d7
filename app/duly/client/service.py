"""Operations on the service as a whole: its nodes, figures of the last two days, and the slots that its work needs."""

from datetime import datetime
from typing import Literal, cast

from duly.client.answers import Figures, Node, Scaling
from duly.client.operation import Operations, PerformerT, operation
from duly.client.request import get, path_of
from duly.client.sending import call
from duly.client.steps import Steps


class ServiceOperations(Operations[PerformerT]):
    """Reads nodes, figures and the scaling signal."""

    @operation
    def nodes(self) -> Steps[list[Node]]:
        """Returns the running processes of the service, with their slots; the oldest first, at most 1,000."""
        return cast("list[Node]", (yield from call(get(path_of("nodes"))))["items"])

    @operation
    def figures(
        self,
        *,
        queue: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        step: Literal[60, 300, 3600] = 60,
    ) -> Steps[Figures]:
        """Returns series of jobs, webhooks, waits and run times.

        Args:
            queue: queue to which they belong; None for all queues.
            since: start, as `datetime` with a time zone or RFC 3339; by default an hour before the end.
            until: end; by default now.
            step: length of a step, in seconds.
        """
        query = {"queue": queue, "since": _text(since), "until": _text(until), "step": step}
        return cast("Figures", (yield from call(get(path_of("figures"), query))))

    @operation
    def scaling(
        self, *, queue: str | None = None, job_type: str | None = None, target_seconds: float | None = None
    ) -> Steps[Scaling]:
        """Returns the number of slots that the work at hand needs.

        Args:
            queue: queue of the jobs; None for all queues.
            job_type: type of the jobs; None for all types.
            target_seconds: time to drain the waiting jobs; None for a minute.
        """
        query = {"queue": queue, "type": job_type, "targetSeconds": target_seconds}
        return cast("Scaling", (yield from call(get(path_of("scaling"), query))))


def _text(moment: datetime | str | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment
