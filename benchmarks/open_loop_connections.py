"""Connections of the open loop: a free connection sends the next request; new ones are opened up to a limit."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from benchmarks.closed_loop import ACCEPTED
from benchmarks.http_messages import Message, split_message
from benchmarks.stats import percentile

TICK_SECONDS = 0.002
OPENING_AT_ONCE = 128
GRACE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Phase:
    """Phase of the load: its length and the number of requests per second."""

    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class OpenLoopPlan:
    port: int
    path: str
    body: str
    phases: tuple[Phase, ...]
    connections: int = 256

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)


@dataclass(frozen=True, slots=True)
class Interval:
    """Counts of one second of the load, or of a phase: its requests, whenever their responses arrived."""

    at: float
    sent: int
    held_back: int
    accepted: int
    refused: int
    with_retry_after: int
    broken: int
    p50_ms: float
    p99_ms: float
    refusal_p99_ms: float
    first_refusal_seconds: float | None


@dataclass(slots=True)
class Tally:
    """Counters of one interval during the load."""

    sent: int = 0
    held_back: int = 0
    with_retry_after: int = 0
    broken: int = 0
    accepted_after: list[float] = field(default_factory=list)
    refused_after: list[float] = field(default_factory=list)
    first_refusal_at: float | None = None

    def on_response(self, message: Message, *, after: float, at: float) -> None:
        """Counts a response. `at` is the time since the load began."""
        if message.status == ACCEPTED:
            self.accepted_after.append(after)
            return
        self.refused_after.append(after)
        self.with_retry_after += b"\r\nretry-after:" in message.head.lower()
        if self.first_refusal_at is None:
            self.first_refusal_at = at

    def as_interval(self, at: float) -> Interval:
        return Interval(
            at=at,
            sent=self.sent,
            held_back=self.held_back,
            accepted=len(self.accepted_after),
            refused=len(self.refused_after),
            with_retry_after=self.with_retry_after,
            broken=self.broken,
            p50_ms=percentile(self.accepted_after, 0.5) * 1e3,
            p99_ms=percentile(self.accepted_after, 0.99) * 1e3,
            refusal_p99_ms=percentile(self.refused_after, 0.99) * 1e3,
            first_refusal_seconds=None if self.first_refusal_at is None else self.first_refusal_at - at,
        )


class Caller(asyncio.Protocol):
    """Client on a keep-alive connection: sends a request, waits for the response, is free again."""

    def __init__(self, load: "OpenLoop") -> None:
        self._load = load
        self._received = b""
        self._sent_at: float | None = None
        self._phase = Tally()
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def send(self, request: bytes, phase: Tally) -> None:
        self._sent_at, self._phase = time.perf_counter(), phase
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        message = split_message(self._received)
        if message is None or self._sent_at is None:
            return
        self._received = message.rest
        sent_at, self._sent_at = self._sent_at, None
        self._load.on_response(self, message, after=time.perf_counter() - sent_at, phase=self._phase)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.gone = True
        self._load.left(self._phase, waiting=self._sent_at is not None)


class OpenLoop:
    """Passes each arrival to a free caller, or to a new one up to the limit of connections."""

    def __init__(self, plan: OpenLoopPlan, request: Callable[[], bytes]) -> None:
        self._plan = plan
        self._request = request
        self._free: list[Caller] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._connected = 0
        self.outstanding = 0
        self.statuses: Counter[int] = Counter()
        self.seconds = [Tally() for _ in range(int(plan.seconds + GRACE_SECONDS) + 2)]
        self.phases = [Tally() for _ in plan.phases]
        self.begins = [sum(phase.seconds for phase in plan.phases[:place]) for place in range(len(plan.phases))]
        self.callers: list[Caller] = []

    async def arrive(self) -> None:
        """Sends the requests of each phase at its rate; returns after the last one."""
        self._began = time.perf_counter()
        for phase, tally, begins in zip(self._plan.phases, self.phases, self.begins, strict=True):
            arrived = 0
            while (elapsed := self.clock() - begins) < phase.seconds:
                due = int(elapsed * phase.rate) - arrived
                arrived += due
                self._send(due, tally)
                await asyncio.sleep(TICK_SECONDS)
            # The generator may have been stopped at the end of the phase.
            self._send(round(phase.seconds * phase.rate) - arrived, tally)

    @property
    def opens(self) -> bool:
        """True while an arrival waits for its new connection."""
        return bool(self._opening)

    def clock(self) -> float:
        """Returns the seconds since the load began."""
        return time.perf_counter() - self._began

    def on_response(self, caller: Caller, message: Message, *, after: float, phase: Tally) -> None:
        now = self.clock()
        self.outstanding -= 1
        self.statuses[message.status] += 1
        for tally in (self._second(now), phase):
            tally.on_response(message, after=after, at=now)
        self._free.append(caller)

    def left(self, phase: Tally, *, waiting: bool) -> None:
        self._connected -= 1
        if waiting:
            self.outstanding -= 1
            self._count("broken", phase)

    def close(self) -> None:
        for caller in self.callers:
            caller.transport.close()

    def _second(self, at: float) -> Tally:
        return self.seconds[min(int(at), len(self.seconds) - 1)]

    def _count(self, what: str, phase: Tally, number: int = 1) -> None:
        for tally in (self._second(self.clock()), phase):
            setattr(tally, what, getattr(tally, what) + number)

    def _send(self, count: int, phase: Tally) -> None:
        for number in range(count):
            caller = self._next_free()
            if caller is not None:
                self._send_by(caller, phase)
            elif not self._open(phase):
                self._count("held_back", phase, count - number)
                return

    def _send_by(self, caller: Caller, phase: Tally) -> None:
        self.outstanding += 1
        self._count("sent", phase)
        caller.send(self._request(), phase)

    def _next_free(self) -> Caller | None:
        while self._free:
            caller = self._free.pop()
            if not caller.gone:
                return caller
        return None

    def _open(self, phase: Tally) -> bool:
        """Opens a connection for one arrival in the background; returns False at the limit of connections."""
        if self._connected >= self._plan.connections or len(self._opening) >= OPENING_AT_ONCE:
            return False
        self._connected += 1
        task = asyncio.create_task(self._arrive_by_new_connection(phase))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _arrive_by_new_connection(self, phase: Tally) -> None:
        try:
            loop = asyncio.get_running_loop()
            _, caller = await loop.create_connection(lambda: Caller(self), "127.0.0.1", self._plan.port)
        except OSError:
            self._connected -= 1
            self._count("broken", phase)
            return
        self.callers.append(caller)
        self._send_by(caller, phase)
