"""Requests of the client, repeated where that is safe."""

import time
from typing import Any

import httpx

from duly.client.responses import may_repeat, retry_after_seconds, unreachable

# One second in all, enough for a restart. A longer Retry-After is reported to the caller instead.
_PAUSES_SECONDS = (0.1, 0.3, 0.6)
_LONGEST_PAUSE_SECONDS = 5.0


def send(http: httpx.Client, method: str, path: str, *, repeatable: bool, **request: Any) -> httpx.Response:
    """Returns the response, of any status.

    A `repeatable` request is sent again if its connection breaks; any other only if it cannot have arrived, or if the
    service reports that it did nothing.

    Raises:
        Unreachable: there was no response.
    """
    for pause in (*_PAUSES_SECONDS, None):
        try:
            response = http.request(method, path, **request)
        except httpx.RequestError as error:
            if pause is None or not _may_repeat(error, repeatable=repeatable):
                raise unreachable(address(http), error) from error
            time.sleep(pause)
        else:
            delay = retry_after_seconds(response, otherwise=pause or 0)
            if pause is None or delay > _LONGEST_PAUSE_SECONDS or not may_repeat(response):
                return response
            time.sleep(delay)
    raise AssertionError  # the last iteration returns or raises


def address(http: httpx.Client) -> str:
    """Returns the URL of the service for a message."""
    return str(http.base_url).rstrip("/")


def _may_repeat(error: httpx.RequestError, *, repeatable: bool) -> bool:
    # A refused connection has carried nothing. A timeout is not repeated.
    broken = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
    return isinstance(error, httpx.ConnectError) or (repeatable and broken)
