"""Duly: an HTTP async-job service on Postgres. Jobs duly accepted, duly done, duly reported.

The life of a job, one module on each line:

    api.jobs.submit_job                  reads a POST, validates it against the model of its type, responds with 202
    lifecycle.submit.submission_limiter  refuses submissions beyond the rate and backlog limits
    lifecycle.submit.submit              records concurrent submissions in one transaction
    lifecycle.inbox.inbox_mover          records what other programs submitted by SQL, in their own transactions
    lifecycle.submit.insert              places each job in a hot table: ready, scheduled or blocked
    lifecycle.claim.claim                takes ready jobs for the free slots of a node, by priority, then age
    worker.pool                          runs each as an attempt, with a deadline, in a task, a thread or a process
    lifecycle.run.progress               records its progress as events
    handlers.steps                       gives recorded results of steps back, and unwinds a handler that can only wait
    lifecycle.run.steps                  records each step once, fenced by the attempt's lease token
    domain.outcome                       decides how the attempt ended: completed, failed, or retried and when
    lifecycle.end.finish                 records the end, fenced by the attempt's lease token
    lifecycle.writes.set_aside           keeps and retries an outcome that the database rejects
    lifecycle.end.follow_ups             passes on its concurrency key, and starts or ends the jobs that depend on it
    store.ledger.outbox                  writes the webhook deliveries in the transaction of the event
    webhooks.dispatcher                  signs and posts them until the receiver accepts
    lifecycle.cluster.hub                wakes the streams and long polls that follow the job
    lifecycle.maintenance.sweep          runs again what timed out or lost its worker, expires what is overdue
    lifecycle.schedules.scheduler        submits the jobs of schedules that are due
    lifecycle.figures.recorder           writes what was counted in each minute, for plots and the scaling signal
    lifecycle.maintenance.check          compares every job with the invariants

`node` composes these into one process. `store` holds the SQL. `domain` holds the rules and imports nothing.
"""

from typing import TYPE_CHECKING

from duly.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from duly.domain.job_type_breaker import CircuitBreaker
    from duly.domain.retry import RetryPolicy, exponential, fixed, linear
    from duly.handlers.child_jobs import Child, ChildFailed, Children
    from duly.handlers.context import JobContext
    from duly.handlers.exceptions import Compensate, Fail, HandlerError, Retry, SignalTimedOut
    from duly.handlers.registry import Handlers
    from duly.handlers.step_calls import StepContext
else:
    __getattr__ = lazy_exports(
        __name__,
        {
            "duly.domain.job_type_breaker": ("CircuitBreaker",),
            "duly.domain.retry": ("RetryPolicy", "exponential", "fixed", "linear"),
            "duly.handlers.child_jobs": ("Child", "ChildFailed", "Children"),
            "duly.handlers.context": ("JobContext",),
            "duly.handlers.exceptions": ("Compensate", "Fail", "HandlerError", "Retry", "SignalTimedOut"),
            "duly.handlers.registry": ("Handlers",),
            "duly.handlers.step_calls": ("StepContext",),
        },
    )

__version__ = "0.1.0"

__all__ = [
    "Child",
    "ChildFailed",
    "Children",
    "CircuitBreaker",
    "Compensate",
    "Fail",
    "HandlerError",
    "Handlers",
    "JobContext",
    "Retry",
    "RetryPolicy",
    "SignalTimedOut",
    "StepContext",
    "__version__",
    "exponential",
    "fixed",
    "linear",
]
