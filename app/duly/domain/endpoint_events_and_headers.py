"""Filters of an endpoint: its events by name, and its additional headers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from duly.domain.header_rules import RESERVED_HEADERS, header_name_refusal, header_value_refusal
from duly.domain.webhook_events import BATCH_BIT, CALLBACK_BITS, ENDPOINT_BITS, MESSAGE_EVENTS, MessageKind
from duly.errors import PathError

ANY_EVENT: Final = "*"
# Sent to every endpoint.
ALWAYS_SENT: Final = (MESSAGE_EVENTS[MessageKind.TEST], MESSAGE_EVENTS[MessageKind.ENDPOINT_DISABLED])
MOST_HEADERS: Final = 20
LARGEST_HEADERS: Final = 8 << 10

_OF_JOBS: Final = sum(CALLBACK_BITS.values())
_ALL: Final = _OF_JOBS | BATCH_BIT
_OURS: Final = RESERVED_HEADERS | {"user-agent", "x-webhook-signature", "x-correlation-id", "traceparent", "tracestate"}
_OUR_PREFIXES: Final = ("content-", "webhook-", "proxy-")


def event_mask(names: Iterable[str], *, filtered: bool) -> int:
    """Returns the bits of these events; events that are always sent have none.

    `*` is every event. Under a filter by type or labels it excludes events without either: `batch.completed` must be
    named.
    """
    mask = 0
    for name in names:
        if name == ANY_EVENT:
            mask |= _OF_JOBS if filtered else _ALL
        else:
            mask |= ENDPOINT_BITS.get(name, 0)
    return mask


def event_names(mask: int, *, filtered: bool) -> list[str]:
    """Returns the names of these bits, `*` for all; `event_mask` of the names returns the bits."""
    if mask == 0:
        return list(ALWAYS_SENT)
    if mask == event_mask((ANY_EVENT,), filtered=filtered):
        return [ANY_EVENT]
    if mask == _ALL:
        return [ANY_EVENT, "batch.completed"]
    return [name for name, bit in ENDPOINT_BITS.items() if mask & bit]


def event_errors(names: Iterable[str]) -> Iterator[PathError]:
    """Yields the errors of unknown event names."""
    known = {*ENDPOINT_BITS, *ALWAYS_SENT, ANY_EVENT}
    for index, name in enumerate(names):
        if name not in known:
            yield PathError(f"events[{index}]", f"must be * or one of {', '.join(ENDPOINT_BITS)}")


def header_errors(headers: Mapping[str, str]) -> Iterator[PathError]:
    """Yields the errors of additional headers. No value is repeated."""
    if len(headers) > MOST_HEADERS:
        yield PathError("headers", f"must not be more than {MOST_HEADERS}")
        return
    if sum(len(name) + len(value) for name, value in headers.items()) > LARGEST_HEADERS:
        yield PathError("headers", f"must not exceed {LARGEST_HEADERS:,} bytes in total")
        return
    seen: set[str] = set()
    for name, value in headers.items():
        lowered = name.lower()
        found = header_name_refusal(name, reserved=_OURS) or header_value_refusal(value)
        if found is None and lowered.startswith(_OUR_PREFIXES):
            found = "is reserved for the service"
        if found is None and lowered in seen:
            found = "occurs twice (names are not case-sensitive)"
        if found is not None:
            yield PathError(f"headers.{name}", found)
        seen.add(lowered)
