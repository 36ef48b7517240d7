"""Streams of the client, across broken connections and restarts of the service."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent

from duly.client.responses import may_repeat, media_type, refusal, retry_after_seconds, unreachable

Connect = Callable[[str | None], AbstractContextManager[httpx.Response]]

# The service writes a comment every 15 s at the latest: silence for three times that is a dead connection.
SILENCE_SECONDS = 45.0

_END_FRAMES = frozenset({"job_completed", "job_failed", "job_cancelled"})
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_LONGEST_ASKED_SECONDS = 60
_EVENT_STREAM = "text/event-stream"
# 1.5 s in all before the first connection, 40 s after it.
_TRIES_BEFORE_CONNECTED = 4
_TRIES_AFTER_CONNECTED = 12


def follow(connect: Connect, *, url: str, last_event_id: str | None, endless: bool = False) -> Iterator[dict[str, Any]]:
    """Yields the data of each frame until the job has ended; `endless` streams yield it with its `id`.

    The history of a retried job contains an earlier end, so the stream is over only once the service closes it after
    an end frame, or returns 204.

    Raises:
        ApiError: the service returned an error.
        Unreachable: the connection stayed broken.
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
    """Yields each block of an event stream, including those without data.

    `id` is that of the last block with one, and empty before.
    """
    # The standard allows only UTF-8, without a byte order mark. `EventSource` compares the media type case-sensitively.
    response.encoding = "utf-8-sig"
    response.headers["Content-Type"] = _EVENT_STREAM
    return EventSource(response).iter_sse()


class _Following:
    """State of one stream: the last frame, and the failures since."""

    def __init__(self, *, url: str, last_event_id: str | None, endless: bool) -> None:
        self.last_event_id = last_event_id
        self._endless = endless
        self.ended = False
        self._url = url
        self._requested_seconds = 0.0
        self._failures = 0
        self._tries = _TRIES_BEFORE_CONNECTED

    def frames_of(self, response: httpx.Response) -> Iterator[dict[str, Any]]:
        """Yields the data of the frames of one connection."""
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
        """Counts a failed connection.

        Raises:
            Unreachable: too many connections in a row have failed.
        """
        self._failures += 1
        if self._failures >= self._tries and not self.ended:
            raise unreachable(self._url, error) from error

    def pause(self) -> None:
        """Waits before the next connection: longer after each failure, at least as long as the service requested."""
        backoff = min(_FIRST_PAUSE_SECONDS * 2**self._failures, _LONGEST_PAUSE_SECONDS)
        time.sleep(max(backoff, self._requested_seconds))

    def _note(self, frame: ServerSentEvent) -> dict[str, Any] | None:
        if frame.retry is not None:
            self._requested_seconds = min(frame.retry, _LONGEST_ASKED_SECONDS * 1000) / 1000
        if frame.id:
            self.last_event_id = frame.id
            self._failures = 0 if self._endless else self._failures  # an id without an event is progress as well
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
        if self._failures >= self._tries or not may_repeat(response):
            raise refusal(response)
        pause = retry_after_seconds(response, otherwise=0)
        self._requested_seconds = min(pause, _LONGEST_ASKED_SECONDS)
