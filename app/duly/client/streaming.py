"""Streams of the client, across broken connections and restarts of the service."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx

from duly.client.backoff import Backoff
from duly.client.event_stream import EventParser, ServerEvent
from duly.client.request import Query, Request, get
from duly.client.responses import (
    ParseFloat,
    is_event_stream,
    may_repeat,
    parse_float_of,
    refusal,
    retry_after_seconds,
    unreachable,
)
from duly.client.sending import address
from duly.client.steps import Connect, Item, Items, Pause, Read, Steps

Frame = dict[str, Any]
# Returns the request for the frames after an ID, or for those from the beginning.
RequestAfter = Callable[[str | None], Request]

# The service writes a comment every 15 s at the latest: silence for three times that is a dead connection.
SILENCE_SECONDS = 45.0

_END_FRAMES = frozenset({"job_completed", "job_failed", "job_cancelled"})
# 1.5 s in all before the first connection, 40 s after it.
TRIES_BEFORE_CONNECTED = 4
TRIES_AFTER_CONNECTED = 12


def stream_request(path: str, last_event_id: str | None, query: Query | None = None) -> Request:
    """Returns the request for the frames after an ID, or for those from the beginning."""
    headers = {"Accept": "text/event-stream"} | ({} if last_event_id is None else {"Last-Event-ID": last_event_id})
    return get(path, query, headers=headers)


def frames(request_after: RequestAfter, *, last_event_id: str | None, endless: bool = False) -> Items[Frame]:
    """Yields the data of each frame until the job has ended; `endless` streams yield it with its `id`.

    Raises:
        ApiError: the service returned an error.
        Unreachable: the connection stayed broken.
    """
    stream = Following(request_after, last_event_id=last_event_id, endless=endless)
    while not stream.ended:
        for frame in (yield from stream.read()):
            yield Item(frame)


class Following:
    """Stream that is resumed after its last frame whenever its connection breaks.

    The history of a retried job contains an earlier end, so the stream of a job is over only once the service closes
    it after an end frame, or returns 204.

    Args:
        silence_seconds: time without a byte after which a connection is broken.
        allows_silence: False to give up at the first such connection, rather than to open the next one.

    Attributes:
        ended: True once the stream is over.
    """

    def __init__(
        self,
        request_after: RequestAfter,
        *,
        last_event_id: str | None,
        endless: bool = False,
        silence_seconds: float = SILENCE_SECONDS,
        allows_silence: bool = True,
    ) -> None:
        self.ended = False
        self._last_event_id = last_event_id
        self._request_after = request_after
        self._endless = endless
        self._silence_seconds = silence_seconds
        self._allows_silence = allows_silence
        self._backoff = Backoff(tries=TRIES_BEFORE_CONNECTED)
        self._parser: EventParser | None = None
        self._parse_float: ParseFloat | None = None
        self._saw_end = False

    def read(self) -> Steps[list[Frame]]:
        """Reads once, on a new connection if there is none. Returns the data of the frames that were read.

        Raises:
            ApiError: the service returned an error.
            Unreachable: too many connections in a row have failed.
        """
        try:
            if self._parser is None:
                self._parser = yield from self._connect()
            if self._parser is not None and (piece := (yield Read())) is not None:
                return [data for event in self._parser.feed(piece) if (data := self._note(event)) is not None]
        except httpx.RequestError as error:
            self._note_broken(error)
        self._parser = None
        self.ended |= self._saw_end
        if not self.ended:
            yield Pause(self._backoff.pause_seconds())
        return []

    def _connect(self) -> Steps[EventParser | None]:
        """Opens the stream after the last ID. Returns its parser, or None if it was not opened."""
        request = self._request_after(self._last_event_id)
        response: httpx.Response = yield Connect(request, silence_seconds=self._silence_seconds)
        if response.status_code == HTTPStatus.NO_CONTENT:
            self.ended = True
            return None
        self._backoff.note_failure()  # until a frame comes
        if not is_event_stream(response):
            self._note_refused(response)
            return None
        self._backoff.tries = TRIES_AFTER_CONNECTED
        self._parse_float = parse_float_of(response)
        return EventParser()

    def _note(self, event: ServerEvent) -> Frame | None:
        if event.retry_milliseconds is not None:
            self._backoff.request_pause(event.retry_milliseconds / 1000)
        if event.id:
            self._last_event_id = event.id
        if event.id and self._endless:
            self._backoff.note_success()  # an id without an event is progress as well
        if not event.data or not event.type.startswith("job_"):
            return None
        self._backoff.note_success()
        data = dict(json.loads(event.data, parse_float=self._parse_float))
        if self._endless:
            return {"id": event.id, **data}
        self._saw_end = event.type in _END_FRAMES
        return data

    def _note_refused(self, response: httpx.Response) -> None:
        if self._backoff.exhausted or not may_repeat(response):
            raise refusal(response)
        self._backoff.request_pause(retry_after_seconds(response, otherwise=0))

    def _note_broken(self, error: httpx.RequestError) -> None:
        self._backoff.note_failure()
        is_silent = isinstance(error, httpx.ReadTimeout) and not self._allows_silence
        if (self._backoff.exhausted or is_silent) and not self._saw_end:
            raise unreachable(address(error), error) from error
