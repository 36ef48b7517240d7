"""Duly: an HTTP async-job service on Postgres. Jobs duly accepted, duly done, duly reported.

The life of a job, a module a line:

    api.jobs            a POST is read, checked against its type's own model, and handed on
    lifecycle.door      too much, and it is asked to come back: nothing is recorded
    lifecycle.submit    what has gathered is recorded in one transaction; only then leaves the 202
    lifecycle.recording where each stands: ready, later, or blocked by others that it is tied to
    lifecycle.claim     a node with free slots takes ready jobs, oldest and most urgent first
    worker.pool         each runs as an attempt, with a deadline, in a task, a thread or a process
    lifecycle.progress  what it tells of itself becomes events
    domain.outcome      how it ended is decided: done, failed, once more, and when
    lifecycle.finish    the end is recorded, fenced by the attempt's lease token, webhooks in the same transaction
    lifecycle.set_aside an outcome that the database does not take is kept and tried again; all others are recorded
    lifecycle.consequences  others hear of it: who waited for it, its key, its batch, the job that follows
    store.outbox        in that transaction: whoever asked to hear of it, a job's callback or an endpoint
    webhooks.dispatcher signed and posted until the receiver has it
    stream.hub          whoever follows the job is woken: long poll, SSE
    lifecycle.sweep     what timed out or lost its worker is run again, what expired is ended
    lifecycle.fire      what a schedule says is due is submitted
    lifecycle.check     of every job: that nothing was lost

`node` composes these into one process; `store` holds the SQL; `domain` holds the rules and imports nothing.
"""

from duly.domain.breaker import CircuitBreaker
from duly.domain.retry import RetryPolicy, exponential, fixed, linear
from duly.handlers.children import Child, ChildFailed, Children
from duly.handlers.context import JobContext
from duly.handlers.registry import Handlers
from duly.handlers.signals import Fail, HandlerError, Retry

__version__ = "0.1.0"

__all__ = [
    "Child",
    "ChildFailed",
    "Children",
    "CircuitBreaker",
    "Fail",
    "HandlerError",
    "Handlers",
    "JobContext",
    "Retry",
    "RetryPolicy",
    "__version__",
    "exponential",
    "fixed",
    "linear",
]
