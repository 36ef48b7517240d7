"""Server-sent events: an event as an SSE message, and everything else that a stream may carry.

Published clients call their handler for each block, or forget the id of a block without data. Therefore a single
function ends blocks (`_block`), and it requires data. Everything without data is a line of the block that follows.
"""

from collections.abc import Iterable
from typing import NewType

from duly.domain.event_views import VIEWS, frame_text
from duly.domain.events import Event

# Text of a stream: whole lines, and no block without data. Created in this module only.
StreamText = NewType("StreamText", bytes)


def _block(event: str, data: str, *, identity: str | None = None) -> StreamText:
    """Returns one message. The id comes last, since published clients resume after it as soon as they have read that
    line, whether or not the data arrived.
    """
    if not data or "\n" in data or "\r" in data:
        raise ValueError(f"A message of type {event!r} needs data on one line, not {data[:20]!r}.")
    last = f"id: {identity}\n" if identity is not None else ""
    return StreamText(f"event: {event}\ndata: {data}\n{last}\n".encode())


# A comment is a line, not a block: published clients take a blank line for a message.
KEEP_ALIVE = StreamText(b": still here\n")
# Begins each stream, so that a first byte is sent at once. A browser waits this long before it reconnects.
OPENING = StreamText(b"retry: 1000\n")
# Sent to a reader that was too slow.
OVERFLOW = _block("overflow", '{"type":"overflow"}')
# Sent instead of a stream if the process has no room for one: the reader comes back later.
NO_ROOM = StreamText(b"retry: 5000\n" + OVERFLOW)


def frame(event: Event) -> StreamText:
    """Returns the event as one SSE message. Its `id` is the sequence, so a reconnect resumes after it."""
    return message(event, str(event.sequence))


def message(event: Event, identity: str) -> StreamText:
    """Returns the event as one SSE message with this id."""
    return _block(VIEWS[event.kind].frame, frame_text(event), identity=identity)


def message_head(event: Event) -> bytes:
    """Returns the event as one SSE message up to its id, which `with_identity` adds."""
    return f"event: {VIEWS[event.kind].frame}\ndata: {frame_text(event)}\n".encode()


def with_identity(head: bytes, identity: str) -> StreamText:
    """Returns the message of this head with an id."""
    return StreamText(b"%bid: %b\n\n" % (head, identity.encode()))


def cell_message(number: int, *, away: bool) -> StreamText:
    """Returns the message that a cell is away, or is back. It has no id, so a client resumes where it was."""
    return _block(cell_event(away=away), cell_text(number, away=away))


def cell_event(*, away: bool) -> str:
    """Returns the type of the message that a cell is away, or is back."""
    return "duly.cell_away" if away else "duly.cell_back"


def cell_text(number: int, *, away: bool) -> str:
    """Returns the JSON text of such a message."""
    return f'{{"type":"{cell_event(away=away)}","cell":{number}}}'


def position_message(identity: str) -> StreamText:
    """Returns a message that moves the position from which a client resumes."""
    return _block("position", '{"type":"position"}', identity=identity)


def joined(texts: Iterable[StreamText]) -> StreamText:
    """Returns all of these, one after the other."""
    return StreamText(b"".join(texts))
