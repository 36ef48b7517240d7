"""Follows a job's stream over broken connections and restarts of the service."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent

from duly.client.answers import asks_to_repeat, media_type, refusal, retry_after_seconds, unreachable

Connect = Callable[[str | None], AbstractContextManager[httpx.Response]]

# The service writes a comment every 15 s at the latest: silence for three times that is a dead connection.
SILENCE_SECONDS = 45.0

_END_FRAMES = frozenset({"job_completed", "job_failed", "job_cancelled"})
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_LONGEST_ASKED_SECONDS = 60
_EVENT_STREAM = "text/event-stream"
# In all 1.5 s before the first connection, when nothing may be listening at all; 40 s once there was one.
_TRIES_BEFORE_CONNECTED = 4
_TRIES_AFTER_CONNECTED = 12


def follow(connect: Connect, *, url: str, last_event_id: str | None, endless: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the data of each frame until the job has ended; or, where it is `endless`, with its `id`, and for ever.

    A job that was retried by hand has an end in the middle of its history, so the end is the service closing the
    stream after an end frame, or answering 204. Raises `ApiError`, or `Unreachable` when it stays broken.
    """
    stream = _Following(url=url, last_event_id=last_event_id, endless=endless)
    while not stream.ended:
        try:
            with connect(stream.last_event_id) as response:
                yield from stream.frames_of(response)
        except httpx.RequestError as error:
            stream.note_broken(error)
        if not stream.ended:
            stream.pause()


def read_events(response: httpx.Response) -> Iterator[ServerSentEvent]:
    """Yields each block of an event stream.

    A block without data is yielded too; an `id` stays that of the block that had one last, and is empty before.
    """
    # The standard has UTF-8 alone, without a byte order mark. `EventSource` compares the media type letter by letter.
    response.encoding = "utf-8-sig"
    response.headers["Content-Type"] = _EVENT_STREAM
    return EventSource(response).iter_sse()


class _Following:
    """Where one follower stands: the last frame it saw, and how often it failed since."""

    def __init__(self, *, url: str, last_event_id: str | None, endless: bool) -> None:
        self.last_event_id = last_event_id
        self._endless = endless
        self.ended = False
        self._url = url
        self._asked_seconds = 0.0
        self._failures = 0
        self._tries = _TRIES_BEFORE_CONNECTED

    def frames_of(self, response: httpx.Response) -> Iterator[dict[str, Any]]:
        """The frames of one connection."""
        if response.status_code == HTTPStatus.NO_CONTENT:
            self.ended = True
            return
        self._failures += 1  # until a frame comes
        if media_type(response) != _EVENT_STREAM:
            self._note_refused(response)
            return
        self._tries = _TRIES_AFTER_CONNECTED
        for frame in read_events(response):
            if (data := self._note(frame)) is not None:
                yield data

    def note_broken(self, error: httpx.RequestError) -> None:
        """Count a connection that failed; raises `Unreachable` after too many in a row."""
        self._failures += 1
        if self._failures >= self._tries and not self.ended:
            raise unreachable(self._url, error) from error

    def pause(self) -> None:
        """Wait before the next connection: longer after each failure, and no shorter than the service asked."""
        backoff = min(_FIRST_PAUSE_SECONDS * 2**self._failures, _LONGEST_PAUSE_SECONDS)
        time.sleep(max(backoff, self._asked_seconds))

    def _note(self, frame: ServerSentEvent) -> dict[str, Any] | None:
        if frame.retry is not None:
            self._asked_seconds = min(frame.retry, _LONGEST_ASKED_SECONDS * 1000) / 1000
        if frame.id:
            self.last_event_id = frame.id
            self._failures = 0 if self._endless else self._failures  # it says from where, though there is no event yet
        if not frame.data or not frame.event.startswith("job_"):
            return None
        self._failures = 0
        data = dict(json.loads(frame.data))
        if self._endless:
            return {"id": frame.id, **data}
        self.ended = frame.event in _END_FRAMES
        return data

    def _note_refused(self, response: httpx.Response) -> None:
        response.read()
        if self._failures >= self._tries or not asks_to_repeat(response):
            raise refusal(response)
        asked = retry_after_seconds(response, otherwise=0)
        self._asked_seconds = min(asked, _LONGEST_ASKED_SECONDS)
