"""Registration of handlers, and the registry of all job types of a node."""

import difflib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import TypeAdapter

from duly.domain.job_type_breaker import CircuitBreaker
from duly.domain.names import BELOW, LONGEST_NAME, ends_as_address, is_name
from duly.domain.retry import DEFAULT_RETRY, RetryPolicy
from duly.handlers.exceptions import HandlerError
from duly.handlers.schedules import CatchUpPolicy, HandlerSchedule, OverlapPolicy, ScheduleOptions, schedule_of
from duly.handlers.signature import Signature, read_signature

Isolation: TypeAlias = Literal["task", "thread", "process"]
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

DEFAULT_TIMEOUT_SECONDS = 3600.0
DEFAULT_MAX_ATTEMPTS = 5
MOST_ATTEMPTS = 1000
MOST_JOBS_A_CALL = 1000
MOST_LINGER_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Batch:
    """Options of a batch handler.

    Attributes:
        size: maximum number of jobs in one call.
        linger_seconds: time that the first job waits for more.
    """

    size: int
    linger_seconds: float


@dataclass(frozen=True, slots=True)
class RegisteredHandler:
    """Job type with its function, signature and defaults. Times are in seconds. `queue`: of submissions that name
    none; None: `default`. `holds`: jobs are held once their attempts are exhausted.
    """

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
    queue: str | None = None
    holds: bool = False

    @property
    def parameters(self) -> TypeAdapter[Any]:
        return self.signature.parameters

    @property
    def result(self) -> TypeAdapter[Any]:
        return self.signature.result


class Handlers:
    """Collection of job types. Create one in your own module and register functions on it.

        handlers = Handlers()

        @handlers.register("report-generation", timeout=3600, max_attempts=5)
        async def generate_report(parameters: ReportParameters, job: JobContext) -> Report: ...

    `duly serve --handlers mypackage.jobs` finds it under any variable name.
    """

    def __init__(self) -> None:
        self._by_type: dict[str, RegisteredHandler] = {}
        self._scheduled: list[tuple[Callable[..., Any], ScheduleOptions]] = []

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
        queue: str | None = None,
        on_exhausted: Literal["fail", "hold"] = "fail",
    ) -> Callable[[AnyFunction], AnyFunction]:
        """Registers a function as the handler of a job type.

        Args:
            type: the job type's name as clients write it.
            timeout: maximum time of one attempt, in seconds.
            max_attempts: maximum number of attempts.
            retry: delay between attempts: `fixed(...)`, `linear(...)` or `exponential(...)`.
            isolation: `task` (async functions), `thread` (plain functions) or `process` (either kind; can be killed).
            description: shown in `/job-types`; defaults to the docstring of the function.
            batch: maximum number of jobs in one call, 1 to 1000: the function takes a list of parameters and returns a
                list of results. None: one job per call.
            linger: time that the first job of a batch waits for more, 0 to 10 seconds; not part of its timeout.
            breaker: pauses the type after a number of consecutive failures of one kind on any node:
                `CircuitBreaker(failures=5, seconds=60)`.
            queue: queue of submissions that name none; None: `default`.
            on_exhausted: `hold` keeps a job whose attempts are used up for a retry by hand, instead of failing it.

        Raises:
            HandlerError: the name is invalid or in use, an option is out of range, or the signature is unsupported.
        """
        _check_options(type, timeout=timeout, max_attempts=max_attempts, retry=retry)
        if queue is not None and not is_name(queue):
            raise HandlerError(f'job type "{type}": queue={queue!r} is not a valid queue name')
        if on_exhausted not in {"fail", "hold"}:
            raise HandlerError(f'job type "{type}": on_exhausted={on_exhausted!r} must be fail or hold')
        if breaker is not None and not isinstance(breaker, CircuitBreaker):
            raise HandlerError(f'job type "{type}": breaker={breaker!r} must be a CircuitBreaker(...)')
        together = _batch(type, size=batch, linger=linger, timeout=timeout)

        def add(function: AnyFunction) -> AnyFunction:
            if type in self._by_type:
                raise HandlerError(f'job type "{type}" has two handlers')
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
                queue=queue,
                holds=on_exhausted == "hold",
            )
            return function

        return add

    def schedule(  # each is a choice a user may make
        self,
        cron: str,
        *,
        timezone: str = "UTC",
        name: str | None = None,
        parameters: Any = None,
        overlap: OverlapPolicy = "allow",
        catch_up: CatchUpPolicy = "none",
        **submission: Any,
    ) -> Callable[[AnyFunction], AnyFunction]:
        """Declares a schedule that submits jobs of the decorated handler. Workers record it when they start.

            @handlers.register("nightly-report")
            @handlers.schedule("0 3 * * *", timezone="Europe/Berlin")
            async def nightly_report(parameters: ReportParameters) -> Report: ...

        Args:
            cron: cron expression of five fields, or six with seconds first.
            timezone: IANA name of its time zone.
            name: name of the schedule; None: that of the job type.
            parameters: parameters of the jobs; None: an empty object.
            overlap: `skip` skips a due time while the last job has not ended.
            catch_up: due times missed by a minute or more that are run: `none`, the `last` one, or `all`.
            submission: further options as in `job.submit`, such as `priority=5`.
        """
        options = ScheduleOptions(cron, timezone, name, parameters, overlap, catch_up, submission)

        def add(function: AnyFunction) -> AnyFunction:
            self._scheduled.append((function, options))
            return function

        return add

    def schedules(self) -> list[HandlerSchedule]:
        """Returns the schedules of all handlers.

        Raises:
            HandlerError: a scheduled function is not registered, or an option is invalid.
        """
        return [schedule_of(self._type_of(function), options) for function, options in self._scheduled]

    def _type_of(self, function: Callable[..., Any]) -> str:
        types = [handler.type for handler in self._by_type.values() if handler.function is function]
        if not types:
            raise HandlerError(f"{function.__qualname__} has a schedule and no job type; add @handlers.register(...)")
        return types[0]

    def __iter__(self) -> Any:
        return iter(self._by_type.values())


class Registry(Mapping[str, RegisteredHandler]):
    """Mapping of all job types of a node. `replace` is the only change."""

    def __init__(
        self,
        handlers: Iterable[RegisteredHandler],
        *,
        schedules: Iterable[HandlerSchedule] = (),
        closing: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._closing = closing
        self.schedules: tuple[HandlerSchedule, ...] = tuple(sorted(schedules, key=attrgetter("name")))
        for one, other in pairwise(self.schedules):
            if one.name == other.name:
                raise HandlerError(f'there are two schedules called "{one.name}"; choose another name with name=')
        by_type: dict[str, RegisteredHandler] = {}
        for handler in handlers:
            if handler.type in by_type:
                raise HandlerError(f'job type "{handler.type}" has two handlers')
            by_type[handler.type] = handler
        self._by_type = MappingProxyType(by_type)

    def __getitem__(self, type: str) -> RegisteredHandler:  # noqa: A002  # the contract's word
        return self._by_type[type]

    def __iter__(self) -> Any:
        return iter(self._by_type)

    def __len__(self) -> int:
        return len(self._by_type)

    def replace(self, other: "Registry") -> None:
        """Takes over the job types and schedules of another registry, for all that use this one."""
        self._by_type, self.schedules = MappingProxyType(dict(other)), other.schedules

    async def aclose(self) -> None:
        """Closes connections of the built-in types, after the last attempt."""
        if self._closing is not None:
            await self._closing()

    def near(self, name: str) -> list[str]:
        """Returns similar names of known types, best match first."""
        return difflib.get_close_matches(name, self._by_type, n=3, cutoff=0.5)


def _check_options(name: str, *, timeout: float, max_attempts: int, retry: RetryPolicy) -> None:
    if ends_as_address(name):
        raise HandlerError(f"{name!r} is not a valid job type: it must not end with /{', /'.join(BELOW)}")
    if not is_name(name):
        raise HandlerError(
            f"{name!r} is not a valid job type: at most {LONGEST_NAME} letters, digits and . _ : / -, "
            "and no empty, . or .. segment between slashes"
        )
    if not isinstance(timeout, int | float) or not 0 < timeout <= 30 * 86400:
        raise HandlerError(
            f'job type "{name}": timeout={timeout!r} must be more than 0 and at most 30 days, in seconds'
        )
    if not isinstance(max_attempts, int) or not 1 <= max_attempts <= MOST_ATTEMPTS:
        raise HandlerError(f'job type "{name}": max_attempts={max_attempts!r} must be between 1 and 1000')
    if not isinstance(retry, RetryPolicy):
        raise HandlerError(f'job type "{name}": retry={retry!r} must be fixed(...), linear(...) or exponential(...)')


def _batch(name: str, *, size: int | None, linger: float, timeout: float) -> Batch | None:
    if not isinstance(linger, int | float) or not 0 <= linger <= MOST_LINGER_SECONDS:
        raise HandlerError(f'job type "{name}": linger={linger!r} must be between 0 and 10 seconds')
    if size is None:
        if linger:
            raise HandlerError(f'job type "{name}": linger={linger!r} requires batch=...')
        return None
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MOST_JOBS_A_CALL:
        raise HandlerError(f'job type "{name}": batch={size!r} must be between 1 and 1000')
    if linger >= timeout:
        raise HandlerError(f'job type "{name}": linger={linger!r} must be shorter than timeout={timeout!r}')
    return Batch(size, float(linger))


def _isolation(name: str, function: Callable[..., Any], isolation: Isolation | None, *, batch: bool) -> Isolation:
    asynchronous = inspect.iscoroutinefunction(function)
    if isolation is None:
        return "task" if asynchronous else "thread"
    if isolation not in {"task", "thread", "process"}:
        raise HandlerError(f'job type "{name}": isolation={isolation!r} must be task, thread or process')
    if isolation == "process" and batch:
        raise HandlerError(f'job type "{name}": a batch handler cannot run in a process; remove isolation or batch')
    if isolation == "task" and not asynchronous:
        raise HandlerError(
            f'job type "{name}": a plain function cannot run as a task (it would block the loop); remove isolation'
        )
    if isolation == "thread" and asynchronous:
        raise HandlerError(f'job type "{name}": an async function cannot run in a thread; remove isolation')
    return isolation
