"""Sends one request, again where that is safe and the trouble looks short."""

import time
from typing import Any

import httpx

from duly.client.answers import asks_to_repeat, retry_after_seconds, unreachable

# In all one second, which bridges a restart; a service that asks for a longer pause is reported to the caller instead.
_PAUSES_SECONDS = (0.1, 0.3, 0.6)
_LONGEST_PAUSE_SECONDS = 5.0


def send(http: httpx.Client, method: str, path: str, *, repeatable: bool, **request: Any) -> httpx.Response:
    """The answer, whatever its status. Raises `Unreachable`.

    A `repeatable` request is sent again when its connection breaks. One that is not is sent again only when
    it cannot have arrived, or when the service says that it did nothing.
    """
    for pause in (*_PAUSES_SECONDS, None):
        try:
            response = http.request(method, path, **request)
        except httpx.RequestError as error:
            if pause is None or not _may_repeat(error, repeatable=repeatable):
                raise unreachable(address(http), error) from error
            time.sleep(pause)
        else:
            asked = retry_after_seconds(response, otherwise=pause or 0)
            if pause is None or asked > _LONGEST_PAUSE_SECONDS or not asks_to_repeat(response):
                return response
            time.sleep(asked)
    raise AssertionError  # the last round returns or raises


def address(http: httpx.Client) -> str:
    """The service's address, for a message."""
    return str(http.base_url).rstrip("/")


def _may_repeat(error: httpx.RequestError, *, repeatable: bool) -> bool:
    # A connection that was refused has carried nothing, whatever the request; a deadline is not worth a second one.
    broken = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
    return isinstance(error, httpx.ConnectError) or (repeatable and broken)
