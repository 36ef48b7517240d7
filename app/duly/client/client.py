"""Synchronous client for submitting, reading, cancelling and following jobs."""

import json
import math
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx

from duly import __version__
from duly.client.responses import read_response, retry_after_seconds
from duly.client.sending import send
from duly.client.streaming import SILENCE_SECONDS, follow

DEFAULT_URL = "http://127.0.0.1:8000"
ENDED = frozenset({"completed", "failed", "cancelled"})

_LONG_POLL_SECONDS = 30
# Minimum interval between long polls of a job that reports progress often.
_SHORTEST_POLL_SECONDS = 0.1
# Maximum pause between polls: the service returns 30 s at most, a proxy may return more.
_LONGEST_POLL_PAUSE_SECONDS = 60.0


class SubmitOptions(TypedDict, total=False):
    """Options of a submission: the members of the HTTP API in snake_case."""

    queue: str
    priority: int
    run_at: str
    delay_seconds: float
    timeout_seconds: float
    max_attempts: int
    expires_in_seconds: float
    unique_key: str
    concurrency_key: str
    depends_on: list[str]
    labels: dict[str, str]
    callback_url: str
    callback_secret: str
    callback_events: list[str]


class Client:
    """Client of one service. Use it as a context manager, or call `close`. Not thread-safe.

    Calls that are safe to repeat (reads, and submissions by their idempotency key) are repeated a few times if the
    connection breaks or the service is briefly unavailable.

    Args:
        url: URL of the service.
        api_key: API key, if the service requires one.
        timeout: timeout of each response, in seconds.

    Raises:
        ValueError: the URL is not an http(s) URL, or the key contains characters that a header cannot carry.
        ApiError: (from each call) the service returned an error.
        Unreachable: (from each call) the service did not respond.
    """

    def __init__(self, url: str = DEFAULT_URL, *, api_key: str | None = None, timeout: float = 30) -> None:
        address = _address(url)
        headers = {"User-Agent": f"duly-python/{__version__}", "Accept": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {_visible_ascii(api_key)}"
        self.url = str(address).rstrip("/")
        self._timeout = timeout
        # A proxy from the environment cannot reach the loopback of this machine.
        on_loopback = address.host in {"localhost", "127.0.0.1", "::1"}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout, trust_env=not on_loopback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def submit(
        self,
        job_type: str,
        parameters: object = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> dict[str, Any]:
        """Submits a job. Returns its `jobId`, `status`, `createdAt` and `links` once it is durable.

        Without an `idempotency_key` the call generates one, so that a repetition over a broken connection creates no
        second job. Pass your own to be safe across restarts of your program as well.
        """
        submission: dict[str, object] = {"type": job_type}
        submission |= {_camel_case(name): value for name, value in options.items()}
        if parameters is not None:
            submission["parameters"] = parameters
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4()), "Content-Type": "application/json"}
        # As ASCII, so that a lone surrogate reaches the service, whose error names its path.
        content = json.dumps(submission).encode("ascii")
        return read_response(
            send(self._http, "POST", "/api/v1/jobs", repeatable=True, content=content, headers=headers)
        )

    def job(self, job_id: str) -> dict[str, Any]:
        """Returns the current state of the job."""
        return read_response(send(self._http, "GET", _job_path(job_id), repeatable=True))

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancels the job: a waiting job at once; a running job once its handler stops."""
        return read_response(send(self._http, "POST", f"{_job_path(job_id)}/cancel", repeatable=False))

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """Yields all events of the job, oldest first, page by page."""
        query = {"limit": "200"}
        while True:
            page = read_response(send(self._http, "GET", f"{_job_path(job_id)}/events", repeatable=True, params=query))
            yield from page["items"]
            if not page.get("nextCursor"):
                return
            query["cursor"] = page["nextCursor"]

    def wait(self, job_id: str, timeout: float | None = None) -> dict[str, Any]:
        """Waits until the job has ended. Returns its state.

        Raises:
            TimeoutError: the job has not ended within `timeout` seconds; None waits without limit.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        etag: str | None = None
        while True:
            left = deadline - time.monotonic()
            seconds = 0 if etag is None else max(0, math.floor(min(_LONG_POLL_SECONDS, left)))
            began_at = time.monotonic()
            response = self._poll(job_id, etag=etag, seconds=seconds)
            if response.status_code != HTTPStatus.NOT_MODIFIED:
                job = read_response(response)
                if job["status"] in ENDED:
                    return job
            if left <= 0:
                raise TimeoutError(f"job {job_id} has not ended within {timeout:g} s")
            etag = response.headers.get("ETag", etag)
            pause = _pause_before_poll(response, waited=time.monotonic() - began_at, asked=seconds)
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))

    def stream(self, job_id: str, last_event_id: str | None = None) -> Iterator[dict[str, Any]]:
        """Yields the stream frames of the job until it ends: its history first, or the frames after `last_event_id`.

        Reconnects after a broken connection and continues after the last frame, without gaps or repetitions.
        """

        def connect(last_id: str | None) -> AbstractContextManager[httpx.Response]:
            headers = {"Accept": "text/event-stream"} | ({} if last_id is None else {"Last-Event-ID": last_id})
            timeout = httpx.Timeout(self._timeout, read=SILENCE_SECONDS)
            return self._http.stream("GET", f"{_job_path(job_id)}/events/stream", headers=headers, timeout=timeout)

        return follow(connect, url=self.url, last_event_id=last_event_id)

    def stream_all(
        self,
        last_event_id: str | None = None,
        *,
        types: Sequence[str] = (),
        queues: Sequence[str] = (),
        batch_ids: Sequence[str] = (),
        labels: Sequence[str] = (),
    ) -> Iterator[dict[str, Any]]:
        """Yields the stream frames of all matching jobs, each with its `id`, without end.

        Starts now, or after `last_event_id`. Labels are `name:value`. Reconnects after a broken connection, or one
        that the service closed because it was read too slowly, and continues after the last frame, without gaps or
        repetitions.
        """
        query = {"type": list(types), "queue": list(queues), "batchId": list(batch_ids), "label": list(labels)}

        def connect(last_id: str | None) -> AbstractContextManager[httpx.Response]:
            headers = {"Accept": "text/event-stream"} | ({} if last_id is None else {"Last-Event-ID": last_id})
            timeout = httpx.Timeout(self._timeout, read=SILENCE_SECONDS)
            return self._http.stream("GET", "/api/v1/events/stream", headers=headers, timeout=timeout, params=query)

        return follow(connect, url=self.url, last_event_id=last_event_id, endless=True)

    def _poll(self, job_id: str, *, etag: str | None, seconds: int) -> httpx.Response:
        return send(
            self._http,
            "GET",
            _job_path(job_id),
            repeatable=True,
            params={"wait": seconds} if seconds else None,
            headers={"If-None-Match": etag} if etag else None,
            timeout=self._timeout + seconds,
        )


def _pause_before_poll(response: httpx.Response, *, waited: float, asked: int) -> float:
    # A long poll may be followed by the next one at once; otherwise Retry-After gives the interval.
    if asked and (response.status_code != HTTPStatus.NOT_MODIFIED or waited >= asked - 1):
        return _SHORTEST_POLL_SECONDS
    if not asked and "ETag" in response.headers:
        return 0
    return min(retry_after_seconds(response, otherwise=1), _LONGEST_POLL_PAUSE_SECONDS)


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"invalid URL of the service {url!r}: {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise ValueError(f"invalid URL of the service {url!r}: expected http://host:port")
    return address


def _visible_ascii(api_key: str) -> str:
    if not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("the API key contains characters that a header cannot carry")
    return api_key


def _job_path(job_id: str) -> str:
    # Dots as well, or `..` would be another path.
    return f"/api/v1/jobs/{quote(job_id, safe='').replace('.', '%2E')}"


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)
