"""Requests that are repeated where that is safe."""

from http import HTTPStatus
from typing import Any

import httpx

from duly.client.request import Request
from duly.client.responses import may_repeat, read_response, retry_after_seconds, unreachable
from duly.client.steps import Pause, Send, Steps

# One second in all, enough for a restart. A longer Retry-After is reported to the caller instead.
_PAUSES_SECONDS = (0.1, 0.3, 0.6)
_LONGEST_PAUSE_SECONDS = 5.0


def call(request: Request) -> Steps[dict[str, Any]]:
    """Sends a request. Returns the JSON object of its response; an empty one if it has no content.

    Raises:
        ApiError: the service returned an error.
        Unreachable: there was no response.
    """
    return read_response((yield from send(request)))


def send(request: Request) -> Steps[httpx.Response]:
    """Returns the response, of any status.

    A repeatable request is sent again if its connection breaks; any other only if it cannot have arrived, or if the
    service reports that it did nothing.

    Raises:
        Unreachable: there was no response.
    """
    for pause in (*_PAUSES_SECONDS, None):
        try:
            response: httpx.Response = yield Send(request)
        except httpx.RequestError as error:
            if pause is None or not _may_repeat(error, request):
                raise unreachable(address(error), error) from error
            yield Pause(pause)
        else:
            delay = retry_after_seconds(response, otherwise=pause or 0)
            if pause is None or delay > _LONGEST_PAUSE_SECONDS or not _may_send_again(request, response):
                return response
            yield Pause(delay)
    raise AssertionError  # the last iteration returns or raises


def address(error: httpx.RequestError) -> str:
    """Returns the URL of the service that a request did not reach, for a message."""
    return str(error.request.url.copy_with(raw_path=b"/")).rstrip("/")


def _may_repeat(error: httpx.RequestError, request: Request) -> bool:
    # A refused connection has carried nothing. A timeout is not repeated.
    broken = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
    return isinstance(error, httpx.ConnectError) or (request.repeatable and broken)


def _may_send_again(request: Request, response: httpx.Response) -> bool:
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and not request.waits_at_limits:
        return False
    # Documents are read from the caller once.
    return request.documents is None and may_repeat(response)
