"""Spans of submissions that are not requests: those of schedules, of the inbox and over WebSockets."""

from collections.abc import Sequence

from duly.domain.job import Accepted, NewJob
from duly.telemetry.tracing import SendSpan, Tracing


class TracedSubmission:
    """Jobs that are about to be recorded, each with the context of the span that sends it.

    Attributes:
        jobs: the jobs to record.
    """

    def __init__(self, tracing: Tracing, jobs: Sequence[NewJob]) -> None:
        self._sends: list[SendSpan | None] = []
        self.jobs = [self._with_span(tracing, job) for job in jobs] if tracing.on else list(jobs)

    def _with_span(self, tracing: Tracing, job: NewJob) -> NewJob:
        send = tracing.send(job.traceparent)
        self._sends.append(send)
        return job if send is None else job._replace(traceparent=send.traceparent)

    def recorded(self, results: Sequence[Accepted | Exception]) -> None:
        """Ends the spans, with the results in the order of the jobs."""
        for send, job, result in zip(self._sends, self.jobs, results, strict=False):
            if send is None:
                continue
            if isinstance(result, Exception):
                send.refused(type(result).__name__)
            else:
                send.sent((job,), job_id=result.job_id)
