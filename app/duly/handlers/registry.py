"""Handlers: the object a user's module registers its functions on, and the registry a node runs."""

import difflib
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import TypeAdapter

from duly.domain.job_type_breaker import CircuitBreaker
from duly.domain.names import BELOW, LONGEST_NAME, NAME_PATTERN, ends_as_address
from duly.domain.retry import DEFAULT_RETRY, RetryPolicy
from duly.handlers.exceptions import HandlerError
from duly.handlers.signature import Signature, read_signature

Isolation: TypeAlias = Literal["task", "thread", "process"]
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

DEFAULT_TIMEOUT_SECONDS = 3600.0
DEFAULT_MAX_ATTEMPTS = 5
MOST_ATTEMPTS = 1000
MOST_JOBS_A_CALL = 1000
MOST_LINGER_SECONDS = 10
_NAME = re.compile(NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class Batch:
    """How a batch handler's jobs are put together.

    Attributes:
        size: how many jobs one call may get.
        linger_seconds: how long the first of them waits for more.
    """

    size: int
    linger_seconds: float


@dataclass(frozen=True, slots=True)
class RegisteredHandler:
    """One job type: the function, how it is called, and its defaults. Times are seconds."""

    type: str
    function: Callable[..., Any]
    signature: Signature
    isolation: Isolation
    timeout_seconds: float
    max_attempts: int
    retry: RetryPolicy
    description: str
    batch: Batch | None = None
    breaker: CircuitBreaker | None = None

    @property
    def parameters(self) -> TypeAdapter[Any]:
        return self.signature.parameters

    @property
    def result(self) -> TypeAdapter[Any]:
        return self.signature.result


class Handlers:
    """A collection of job types. Make one in a module of your own and register functions on it.

        handlers = Handlers()

        @handlers.register("report-generation", timeout=3600, max_attempts=5)
        async def generate_report(parameters: ReportParameters, job: JobContext) -> Report: ...

    `duly serve --handlers mypackage.jobs` finds it, whatever the variable is called.
    """

    def __init__(self) -> None:
        self._by_type: dict[str, RegisteredHandler] = {}

    def register(  # noqa: PLR0913  # each is a choice a user may make
        self,
        type: str,  # noqa: A002  # the contract's word
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        retry: RetryPolicy = DEFAULT_RETRY,
        isolation: Isolation | None = None,
        description: str | None = None,
        batch: int | None = None,
        linger: float = 0,
        breaker: CircuitBreaker | None = None,
    ) -> Callable[[AnyFunction], AnyFunction]:
        """Registers a function as the handler of a job type.

        Args:
            type: the job type's name as clients write it.
            timeout: seconds that one attempt may take.
            max_attempts: how often the job is tried.
            retry: how long to wait between attempts: `fixed(...)`, `linear(...)` or `exponential(...)`.
            isolation: `task` (async functions), `thread` (plain functions) or `process` (either; can be killed).
            description: shown in `/job-types`; the function's docstring where none is given.
            batch: how many jobs one call of the function may get, 1 to 1000: it takes a list of parameters and returns
                a list of results. None: one job a call.
            linger: seconds, 0 to 10, that the first job of a batch waits for more; not part of its timeout.
            breaker: holds the type's jobs back for a while after so many failures of one kind in a row, wherever they
                ran: `CircuitBreaker(failures=5, seconds=60)`.

        Raises:
            HandlerError: the name is taken or malformed, a figure is out of range, or the signature does not fit.
        """
        _check_options(type, timeout=timeout, max_attempts=max_attempts, retry=retry)
        if breaker is not None and not isinstance(breaker, CircuitBreaker):
            raise HandlerError(f'job type "{type}": breaker={breaker!r} is no CircuitBreaker(...)')
        together = _batch(type, size=batch, linger=linger, timeout=timeout)

        def add(function: AnyFunction) -> AnyFunction:
            if type in self._by_type:
                raise HandlerError(f'two handlers are registered for the job type "{type}"')
            self._by_type[type] = RegisteredHandler(
                type=type,
                function=function,
                signature=read_signature(type, function, batch=together is not None),
                isolation=_isolation(type, function, isolation, batch=together is not None),
                timeout_seconds=float(timeout),
                max_attempts=max_attempts,
                retry=retry,
                description=description or inspect.getdoc(function) or "",
                batch=together,
                breaker=breaker,
            )
            return function

        return add

    def __iter__(self) -> Any:
        return iter(self._by_type.values())


class Registry(Mapping[str, RegisteredHandler]):
    """All job types that a node knows, fixed once it has started."""

    def __init__(
        self, handlers: Iterable[RegisteredHandler], *, closing: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._closing = closing
        by_type: dict[str, RegisteredHandler] = {}
        for handler in handlers:
            if handler.type in by_type:
                raise HandlerError(f'two handlers are registered for the job type "{handler.type}"')
            by_type[handler.type] = handler
        self._by_type = MappingProxyType(by_type)

    def __getitem__(self, type: str) -> RegisteredHandler:  # noqa: A002  # the contract's word
        return self._by_type[type]

    def __iter__(self) -> Any:
        return iter(self._by_type)

    def __len__(self) -> int:
        return len(self._by_type)

    async def aclose(self) -> None:
        """Closes what the built-in types have opened; after the last attempt."""
        if self._closing is not None:
            await self._closing()

    def near(self, name: str) -> list[str]:
        """Known names like this one, the nearest first."""
        return difflib.get_close_matches(name, self._by_type, n=3, cutoff=0.5)


def _check_options(name: str, *, timeout: float, max_attempts: int, retry: RetryPolicy) -> None:
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise HandlerError(
            f"{name!r} is no name for a job type: letters, digits and . _ : / - only, {LONGEST_NAME} at most, and "
            "nothing empty, . or .. between slashes"
        )
    if ends_as_address(name):
        raise HandlerError(f"{name!r} is no name for a job type: it must not end with /{', /'.join(BELOW)}")
    if not isinstance(timeout, int | float) or not 0 < timeout <= 30 * 86400:
        raise HandlerError(f'job type "{name}": timeout={timeout!r} must lie between 0 and 30 days, in seconds')
    if not isinstance(max_attempts, int) or not 1 <= max_attempts <= MOST_ATTEMPTS:
        raise HandlerError(f'job type "{name}": max_attempts={max_attempts!r} must lie between 1 and 1000')
    if not isinstance(retry, RetryPolicy):
        raise HandlerError(f'job type "{name}": retry={retry!r} is none of fixed(...), linear(...), exponential(...)')


def _batch(name: str, *, size: int | None, linger: float, timeout: float) -> Batch | None:
    if not isinstance(linger, int | float) or not 0 <= linger <= MOST_LINGER_SECONDS:
        raise HandlerError(f'job type "{name}": linger={linger!r} must lie between 0 and 10, in seconds')
    if size is None:
        if linger:
            raise HandlerError(f'job type "{name}": linger={linger!r} is for batch handlers; say batch=... too')
        return None
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MOST_JOBS_A_CALL:
        raise HandlerError(f'job type "{name}": batch={size!r} must lie between 1 and 1000 jobs')
    if linger >= timeout:
        raise HandlerError(f'job type "{name}": linger={linger!r} must be shorter than timeout={timeout!r}')
    return Batch(size, float(linger))


def _isolation(name: str, function: Callable[..., Any], asked: Isolation | None, *, batch: bool) -> Isolation:
    asynchronous = inspect.iscoroutinefunction(function)
    if asked is None:
        return "task" if asynchronous else "thread"
    if asked not in {"task", "thread", "process"}:
        raise HandlerError(f'job type "{name}": isolation={asked!r} is none of task, thread, process')
    if asked == "process" and batch:
        raise HandlerError(f'job type "{name}": a batch handler cannot run in a process; leave isolation or batch out')
    if asked == "task" and not asynchronous:
        raise HandlerError(f'job type "{name}": a plain function would block the loop as a task; leave isolation out')
    if asked == "thread" and asynchronous:
        raise HandlerError(f'job type "{name}": an async function runs as a task, not in a thread')
    return asked
