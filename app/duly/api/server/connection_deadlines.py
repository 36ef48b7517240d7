"""Deadlines of one connection: for its client to send, and to read responses."""

from typing import Any, cast

from duly.api.server.connection_limits import LEAST_BYTES_PER_SECOND, Connection, Connections
from duly.api.server.ndjson_reader import LATE, are_lines
from duly.api.server.refusals import head_late
from duly.api.server.request_parser import ParsingProtocol
from duly.deadline_queue import Deadlines


class TimedProtocol(ParsingProtocol):
    """Parses with deadlines. Their timers are shared by all connections, in `Connections`."""

    def __init__(self, *arguments: Any, connections: Connections, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.address = ""
        self._all = connections
        self._waits_in: Deadlines[Connection] | None = None
        self._served = False
        self._body_paused, self._body_began = False, 0.0
        self._unsent_bytes = 0

    def idle_over(self) -> None:
        raise NotImplementedError

    def linger_over(self) -> None:
        raise NotImplementedError

    def half_over(self) -> None:
        raise NotImplementedError

    def check_client(self) -> None:
        raise NotImplementedError

    def _wait(self) -> None:
        """Moves the connection to the deadline that applies to its client now."""
        if self._ignores_input:
            owed = None
        elif self._in_body:
            owed = self._all.bodies
        elif not self._all_responded:
            owed = None
        else:
            owed = self._all.idle if self._served and not self._incomplete else self._all.heads
        if owed is not self._waits_in:
            self._wait_in(owed)

    @property
    def _in_body(self) -> bool:
        return not self._in_head

    def _wait_in(self, owed: Deadlines[Connection] | None) -> None:
        if self._waits_in is not None:
            self._waits_in.take_out(self)
        self._waits_in = owed
        if owed is self._all.bodies:
            self._body_began = self.loop.time()
            self._start_body_check()
        elif owed is not None:
            owed.put(self)

    def head_late(self) -> None:
        self._waits_in = None
        if self._incomplete:
            self._stop(head_late(self._all.limits.head))
        else:
            self._all.closed("silent")
            self.transport.close()

    def _start_body_check(self) -> None:
        self._body_bytes, self._body_paused = 0, False
        self._all.bodies.put(self)

    def check_body(self) -> None:
        if self._body_paused or self.flow.read_paused:  # the application was slow, not the client
            self._body_began += self._all.limits.body_check
            self._start_body_check()
            return
        slow = self._body_bytes < LEAST_BYTES_PER_SECOND * self._all.limits.body_check
        if slow or self.loop.time() - self._body_began >= self._body_seconds():
            self._waits_in = None
            self.body_late()
        else:
            self._start_body_check()

    def _body_seconds(self) -> float:
        lines = self.scope["method"] == "POST" and are_lines(dict(self.scope["headers"]))
        return float("inf") if lines else self._all.limits.body - self._all.limits.body_check / 2

    def body_late(self) -> None:
        """Makes the application refuse the request, or closes the connection if the response has begun."""
        if self.cycle.response_started:
            self._all.closed("slow_body")
            self.transport.abort()
            return
        self._ignores_input = True
        cast("dict[str, Any]", self.cycle.scope)[LATE] = True
        self.cycle.keep_alive = False
        self.cycle.message_event.set()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.flow.read_paused:
            self._body_paused = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_response()

    def resume_writing(self) -> None:
        self._all.responses.take_out(self)
        super().resume_writing()

    def _watch_response(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._all.responses.take_out(self)
        self._all.responses.put(self)

    def check_response(self) -> None:
        taken = self._unsent_bytes - self.transport.get_write_buffer_size()
        if taken < LEAST_BYTES_PER_SECOND * self._all.limits.response_check and taken < self._unsent_bytes:
            self._all.closed("slow_reader")
            self.transport.abort()
        else:
            self._watch_response()
