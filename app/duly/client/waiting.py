"""Waiting for the end of a job: by its stream, by long polls where a proxy holds streams back, and else by polls."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import httpx

from duly.client.backoff import Backoff
from duly.client.errors import ApiError, NotAllowed, NotAuthenticated, NotFound, Unreachable
from duly.client.request import Request, get, path_of, whole_seconds
from duly.client.responses import may_repeat, read_response, refusal, retry_after_seconds
from duly.client.sending import send
from duly.client.steps import Pause, Steps
from duly.client.streaming import TRIES_AFTER_CONNECTED, Following, stream_request

ENDED = frozenset({"completed", "failed", "cancelled"})

# The service writes a comment every 15 s: a stream that is silent for longer is held back by a proxy.
_STREAM_SILENCE_SECONDS = 20.0
# A stream cannot be told to end in time, and a blocked thread reads it at most that long at once.
_LAST_SECONDS = 25.0
_LONG_POLL_SECONDS = 30
# Minimum interval between long polls of a job that reports progress often.
_SHORTEST_POLL_SECONDS = 0.1
# Maximum pause between polls: the service returns 30 s at most, a proxy may return more.
_LONGEST_PAUSE_SECONDS = 60.0
_GATEWAY_ERRORS = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


@dataclass
class Routes:
    """Ways of waiting that work between a client and its service, shared by all calls of the client.

    Attributes:
        streams: False once a proxy held back a stream, or returned something else.
        long_poll_seconds: longest time for which a response may be held back; 0 for plain polls.
    """

    streams: bool = True
    long_poll_seconds: int = _LONG_POLL_SECONDS


class Deadline:
    """Time until which a caller waits."""

    def __init__(self, timeout: float | None, *, what: str) -> None:
        self._timeout = timeout
        self._what = what
        self._ends_at = math.inf if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds left; infinite without a timeout, and not negative."""
        return max(0.0, self._ends_at - time.monotonic())

    def check(self) -> None:
        """Raises TimeoutError if the time is over."""
        if self.left <= 0:
            raise TimeoutError(f"{self._what} has not ended within {self._timeout:g} s")


def wait(job_id: str, *, timeout: float | None, routes: Routes) -> Steps[dict[str, Any]]:
    """Waits until the job has ended. Returns its state.

    A stream begins after the sequence of the state that was read before, and a poll names the ETag of the last one,
    which is the same number: a change between two of them is seen.

    Raises:
        TimeoutError: the job has not ended in time.
        ApiError: the service returned an error.
        Unreachable: the service has not responded for 40 seconds.
    """
    deadline = Deadline(timeout, what=f"job {job_id}")
    polls = _Polls(job_id, deadline=deadline, routes=routes)
    job = yield from polls.first()
    while job["status"] not in ENDED:
        if routes.streams and deadline.left > _LAST_SECONDS:
            yield from _follow(job_id, sequence=job["sequence"], deadline=deadline, routes=routes)
            job = yield from polls.now()
        else:
            job = yield from polls.next()
    return job


def _follow(job_id: str, *, sequence: int, deadline: Deadline, routes: Routes) -> Steps[None]:
    """Reads the stream of the job until it ends, proves unusable, or the deadline is near."""
    path = path_of("jobs", job_id, "events", "stream")
    stream = Following(
        lambda last_id: stream_request(path, last_id),
        last_event_id=str(sequence),
        silence_seconds=_STREAM_SILENCE_SECONDS,
        allows_silence=False,
    )
    try:
        # Only a poll can be told how long to take.
        while not stream.ended and deadline.left > _LAST_SECONDS:
            yield from stream.read()
    except (NotFound, NotAuthenticated, NotAllowed):
        raise
    except (ApiError, Unreachable):
        routes.streams = False


class _Polls:
    """Reads of one job, each with the ETag of the last one."""

    def __init__(self, job_id: str, *, deadline: Deadline, routes: Routes) -> None:
        self._path = path_of("jobs", job_id)
        self._deadline = deadline
        self._routes = routes
        self._backoff = Backoff(tries=TRIES_AFTER_CONNECTED)
        self._asked_seconds = 0
        self._began_at = 0.0
        self._etag = ""
        self._job: dict[str, Any] = {}

    def first(self) -> Steps[dict[str, Any]]:
        """Returns the state of the job; fails soon if the service does not respond."""
        return self._note((yield from send(get(self._path))))

    def now(self) -> Steps[dict[str, Any]]:
        """Returns the state of the job."""
        return self._note((yield from self._respond(lambda: get(self._path))))

    def next(self) -> Steps[dict[str, Any]]:
        """Returns the state of the job once it has changed, or a while later, ready for the next call.

        Raises:
            TimeoutError: the deadline has passed.
        """
        response = yield from self._respond(self._long_poll)
        job = self._note(response)
        if job["status"] not in ENDED:
            self._deadline.check()
            waited = time.monotonic() - self._began_at
            pause = pause_before_poll(response, waited=waited, asked=self._asked_seconds)
            yield Pause(min(pause, self._deadline.left))
        return job

    def _long_poll(self) -> Request:
        """Returns the request for the state after the last one, held back for as long as there is time."""
        self._asked_seconds = whole_seconds(min(self._routes.long_poll_seconds, self._deadline.left))
        self._began_at = time.monotonic()
        headers = {"If-None-Match": self._etag} if self._etag else {}
        request = get(self._path, {"wait": self._asked_seconds or None}, headers=headers)
        return replace(request, extra_seconds=self._asked_seconds)

    def _respond(self, make_request: Callable[[], Request]) -> Steps[httpx.Response]:
        """Returns the response of the service, after pauses while it is away or busy."""
        while True:
            request = make_request()
            try:
                response = yield from send(request)
            except Unreachable as error:
                self._note_failure(request, refused=isinstance(error.__cause__, httpx.ConnectError))
                if self._backoff.exhausted:
                    raise
            else:
                if not (response.status_code in _GATEWAY_ERRORS or may_repeat(response)):
                    self._backoff.note_success()
                    return response
                self._note_failure(request)
                if self._backoff.exhausted:
                    raise refusal(response)
                self._backoff.request_pause(retry_after_seconds(response, otherwise=0))
            self._deadline.check()
            yield Pause(min(self._backoff.pause_seconds(), self._deadline.left))

    def _note_failure(self, request: Request, *, refused: bool = False) -> None:
        self._backoff.note_failure()
        # A proxy may be less patient than a long poll is long; it was not if nothing was sent.
        if request.extra_seconds and not refused:
            self._routes.long_poll_seconds //= 4

    def _note(self, response: httpx.Response) -> dict[str, Any]:
        if response.status_code != HTTPStatus.NOT_MODIFIED:
            self._job = read_response(response)
        self._etag = response.headers.get("ETag", self._etag)
        return self._job


def pause_before_poll(response: httpx.Response, *, waited: float, asked: int) -> float:
    """Returns the pause before the next poll, after one that was to take `asked` seconds and took `waited`."""
    # A long poll may be followed by the next one at once; otherwise Retry-After gives the interval.
    if asked and (response.status_code != HTTPStatus.NOT_MODIFIED or waited >= asked - 1):
        return _SHORTEST_POLL_SECONDS
    return min(retry_after_seconds(response, otherwise=1), _LONGEST_PAUSE_SECONDS)
