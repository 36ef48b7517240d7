"""Spans of the service, as OpenTelemetry's API has them: handlers see that of their attempt as the current span.

Those of the SDK take 20 µs to make, as long as a whole no-op job; these take 3 µs. They are encoded when they are
exported, in the thread of the exporter.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry import context as contexts
from opentelemetry.trace import Span, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from duly.telemetry.otel.encoding import ERROR, OK, UNSET, SpanEvent, SpanLink, Value, encode_span
from duly.telemetry.otel.span_ids import SpanIds

if TYPE_CHECKING:
    from contextvars import Token

# As the SDK limits attributes, events and links of a span.
MOST = 128
Put = Callable[["OpenSpan"], None]
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_CODES = {StatusCode.UNSET: UNSET, StatusCode.OK: OK, StatusCode.ERROR: ERROR}


class OpenSpan(Span):
    """Span of a sampled trace. Ids are in hexadecimal.

    Args:
        ids: its ids, and that of its parent.
        name: its name, of which there are few.
        kind: one of the kinds of `encoding`.
        put: takes the span once it has ended.
        fixed: attributes that were encoded before.
    """

    def __init__(
        self,
        ids: SpanIds,
        name: str,
        kind: int,
        *,
        put: Put,
        fixed: bytes = b"",
        began_ns: int = 0,
    ) -> None:
        self.trace_id, self.span_id, self.parent_id, self.remote = ids
        self.name = name
        self.kind = kind
        self.began_ns = began_ns or time.time_ns()
        self.ended_ns = 0
        self.fixed = fixed
        self.attributes: dict[str, Value] = {}
        self.links: list[SpanLink] = []
        self.events: list[SpanEvent] = []
        self.status = UNSET
        self.message = ""
        self._put = put

    @property
    def traceparent(self) -> str:
        """The span as a W3C trace context."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def current(self) -> AbstractContextManager[None]:
        """Makes the span the current one while the block runs."""
        return _Current(self)

    def export(self) -> None:
        """Passes the span on, which has ended now unless it had before."""
        self.ended_ns = self.ended_ns or time.time_ns()
        self._put(self)

    def encode(self) -> bytes:
        """Returns the ended span, encoded."""
        return encode_span(self)

    def fail(self, error_type: str, message: str = "") -> None:
        """Sets the status to an error of this type, which is a code or the name of a class."""
        self.attributes["error.type"] = error_type
        self.status, self.message = ERROR, message

    def get_span_context(self) -> SpanContext:
        """Returns the context of the span."""
        return SpanContext(int(self.trace_id, 16), int(self.span_id, 16), is_remote=False, trace_flags=_SAMPLED)

    def is_recording(self) -> bool:
        """Returns whether the span has not ended."""
        return not self.ended_ns

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Sets attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: Any) -> None:
        """Sets an attribute; those beyond 128 are dropped."""
        if not self.ended_ns and (len(self.attributes) < MOST or key in self.attributes):
            self.attributes[str(key)] = _plain(value)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Adds an event; those beyond 128 are dropped."""
        if not self.ended_ns and len(self.events) < MOST:
            self.events.append(SpanEvent(name, timestamp or time.time_ns(), _plain_all(attributes)))

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Adds a link; those beyond 128 are dropped."""
        if not self.ended_ns and context.is_valid and len(self.links) < MOST:
            ids = f"{context.trace_id:032x}", f"{context.span_id:016x}"
            self.links.append(SpanLink(*ids, _plain_all(attributes)))

    def update_name(self, name: str) -> None:
        """Changes the name."""
        if not self.ended_ns:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Sets the status."""
        if self.ended_ns:
            return
        code = status.status_code if isinstance(status, Status) else status
        text = status.description if isinstance(status, Status) else description
        self.status, self.message = _CODES[code], (text or "") if code is StatusCode.ERROR else ""

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002  # the signature of OpenTelemetry
    ) -> None:
        """Adds an exception as an event, with its text and traceback: its caller chose to."""
        facts = {
            "exception.type": type(exception).__qualname__,
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", facts | dict(attributes or {}), timestamp)

    def end(self, end_time: int | None = None) -> None:
        """Does nothing: the service ends the span when the attempt has ended."""


class _Current(AbstractContextManager[None]):
    """Block in which a span is the current one."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: OpenSpan) -> None:
        self._span = span
        self._token: Token[contexts.Context] | None = None

    def __enter__(self) -> None:
        self._token = contexts.attach(set_span_in_context(self._span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            contexts.detach(self._token)


def _plain_all(attributes: Mapping[str, Any] | None) -> dict[str, Value]:
    return {str(key): _plain(value) for key, value in (attributes or {}).items()}


def _plain(value: Any) -> Value:
    """Returns a value that an attribute can have, as text if it is something else."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [item if isinstance(item, str) else str(item) for item in value]
    return str(value)
