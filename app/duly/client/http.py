"""The synchronous client: each call of the contract that hands over a job or tells how it fares."""

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
from duly.client.answers import read_answer, retry_after_seconds
from duly.client.sending import send
from duly.client.streaming import SILENCE_SECONDS, follow

DEFAULT_URL = "http://127.0.0.1:8000"
ENDED = frozenset({"completed", "failed", "cancelled"})

_LONG_POLL_SECONDS = 30
# A job that reports often answers every long poll at once; this is how often it may.
_SHORTEST_POLL_SECONDS = 0.1
# The service asks for 30 s at most; a proxy may ask for anything.
_LONGEST_POLL_PAUSE_SECONDS = 60.0


class SubmitOptions(TypedDict, total=False):
    """The options of a submission: the contract's words, in snake_case."""

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
    """Speaks to one service; use it as a context manager, or call `close`. Not for several threads at once.

    Calls that are safe to repeat (all reads; a submission, by its idempotency key) are repeated a few times when
    the connection breaks or the service is busy for a moment. All raise `ApiError` when the service refuses and
    `Unreachable` when none answers. `timeout` bounds each answer, in seconds.

    Raises `ValueError` for an address that is no http(s) URL, or a key that no header can carry.
    """

    def __init__(self, url: str = DEFAULT_URL, *, api_key: str | None = None, timeout: float = 30) -> None:
        address = _address(url)
        headers = {"User-Agent": f"duly-python/{__version__}", "Accept": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {_visible_ascii(api_key)}"
        self.url = str(address).rstrip("/")
        self._timeout = timeout
        # A proxy from the environment cannot reach this machine's own loopback.
        on_loopback = address.host in {"localhost", "127.0.0.1", "::1"}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout, trust_env=not on_loopback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        job_type: str,
        parameters: object = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> dict[str, Any]:
        """Hand over a job; return its `jobId`, `status`, `createdAt` and `links` once it is durably accepted.

        Without an `idempotency_key` one is made for this call, so a submission repeated over a broken connection
        still makes one job. Give your own to be safe over a restart of your program too.
        """
        submission: dict[str, object] = {"type": job_type}
        submission |= {_camel_case(name): value for name, value in options.items()}
        if parameters is not None:
            submission["parameters"] = parameters
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4()), "Content-Type": "application/json"}
        # As ASCII, so that a lone surrogate reaches the service, whose refusal names its path.
        content = json.dumps(submission).encode("ascii")
        return read_answer(send(self._http, "POST", "/api/v1/jobs", repeatable=True, content=content, headers=headers))

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now."""
        return read_answer(send(self._http, "GET", _job_path(job_id), repeatable=True))

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel the job: at once while it waits; a running handler is told, and the job ends a little later."""
        return read_answer(send(self._http, "POST", f"{_job_path(job_id)}/cancel", repeatable=False))

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job's whole history as events, oldest first, read page by page."""
        query = {"limit": "200"}
        while True:
            page = read_answer(send(self._http, "GET", f"{_job_path(job_id)}/events", repeatable=True, params=query))
            yield from page["items"]
            if not page.get("nextCursor"):
                return
            query["cursor"] = page["nextCursor"]

    def wait(self, job_id: str, timeout: float | None = None) -> dict[str, Any]:
        """Wait until the job has ended and return it; `TimeoutError` after `timeout` seconds (none: no limit)."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        etag: str | None = None
        while True:
            left = deadline - time.monotonic()
            seconds = 0 if etag is None else max(0, math.floor(min(_LONG_POLL_SECONDS, left)))
            asked_at = time.monotonic()
            answer = self._poll(job_id, etag=etag, seconds=seconds)
            if answer.status_code != HTTPStatus.NOT_MODIFIED:
                job = read_answer(answer)
                if job["status"] in ENDED:
                    return job
            if left <= 0:
                raise TimeoutError(f"job {job_id} has not ended within {timeout:g} s")
            etag = answer.headers.get("ETag", etag)
            pause = _pause_before_poll(answer, waited=time.monotonic() - asked_at, asked=seconds)
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))

    def stream(self, job_id: str, last_event_id: str | None = None) -> Iterator[dict[str, Any]]:
        """The job's frames as they happen until it has ended: its history first, or what followed `last_event_id`.

        A connection that breaks is made again after the last frame seen: nothing is missed, nothing comes twice.
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
        """The frames of all jobs that fit, each with its `id`: from now on, or what followed `last_event_id`; for ever.

        Labels are `name:value`. A connection that breaks, or is cut off because this was too slow, is made again after
        the last frame seen: nothing is missed, nothing comes twice.
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


def _pause_before_poll(answer: httpx.Response, *, waited: float, asked: int) -> float:
    # After a long poll the next may follow at once; without one the service says how often it may be asked.
    if asked and (answer.status_code != HTTPStatus.NOT_MODIFIED or waited >= asked - 1):
        return _SHORTEST_POLL_SECONDS
    if not asked and "ETag" in answer.headers:
        return 0
    return min(retry_after_seconds(answer, otherwise=1), _LONGEST_POLL_PAUSE_SECONDS)


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"the service's address {url!r} is no URL: {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise ValueError(f"the service's address {url!r} is not of the form http://host:port")
    return address


def _visible_ascii(api_key: str) -> str:
    if not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("the API key holds characters that a header cannot carry")
    return api_key


def _job_path(job_id: str) -> str:
    # Dots too, or `..` would name another path.
    return f"/api/v1/jobs/{quote(job_id, safe='').replace('.', '%2E')}"


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)
