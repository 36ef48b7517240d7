"""Clients of one service: a blocking and an asynchronous one, with the same operations."""

from types import TracebackType
from typing import Any, Self

import httpx

from duly import __version__
from duly.client.access import KeyOperations, TicketOperations
from duly.client.batches import BatchOperations
from duly.client.default_url import DEFAULT_URL
from duly.client.endpoints import DeliveryOperations, WebhookOperations
from duly.client.jobs import JobOperations
from duly.client.operation import PerformerT
from duly.client.performing import Blocking, NonBlocking
from duly.client.queues import JobTypeOperations, QueueOperations
from duly.client.responses import ParseFloat, note_parse_float
from duly.client.schedules import ScheduleOperations
from duly.client.service import ServiceOperations


class _AllOperations(JobOperations[PerformerT]):
    def __init__(self, performer: PerformerT, *, url: str) -> None:
        super().__init__(performer)
        self.url = url
        self.batches = BatchOperations(performer)
        self.queues = QueueOperations(performer)
        self.job_types = JobTypeOperations(performer)
        self.schedules = ScheduleOperations(performer)
        self.service = ServiceOperations(performer)
        self.webhooks = WebhookOperations(performer)
        self.deliveries = DeliveryOperations(performer)
        self.keys = KeyOperations(performer)
        self.tickets = TicketOperations(performer)


class Client(_AllOperations[Blocking]):
    """Client of one service. Use it as a context manager, or call `close`. Threads may share it.

    Calls that are safe to repeat (reads, and submissions by their idempotency key) are repeated a few times if the
    connection breaks or the service is briefly unavailable.

    Args:
        url: URL of the service.
        api_key: API key, if the service requires one.
        timeout: timeout of each response, in seconds.
        parse_float: reads numbers with a fraction or an exponent; `decimal.Decimal` keeps their digits.

    Raises:
        ValueError: the URL is not an http(s) URL, or the key contains characters that a header cannot carry.
        ApiError: (from each call) the service returned an error.
        Unreachable: (from each call) the service did not respond.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = 30,
        parse_float: ParseFloat | None = None,
    ) -> None:
        def note(response: httpx.Response) -> None:
            note_parse_float(response, parse_float)

        self._http = httpx.Client(**_settings(url, api_key=api_key), timeout=timeout, event_hooks={"response": [note]})
        super().__init__(Blocking(self._http), url=str(self._http.base_url).rstrip("/"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()


class AsyncClient(_AllOperations[NonBlocking]):
    """Client of one service for one event loop. Use it as a context manager, or call `close`.

    It has the operations of `Client`; those that return are awaited, and those that yield are iterated with
    `async for`. A cancelled call closes its connection.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = 30,
        parse_float: ParseFloat | None = None,
    ) -> None:
        async def note(response: httpx.Response) -> None:
            note_parse_float(response, parse_float)

        settings = _settings(url, api_key=api_key)
        self._http = httpx.AsyncClient(**settings, timeout=timeout, event_hooks={"response": [note]})
        super().__init__(NonBlocking(self._http), url=str(self._http.base_url).rstrip("/"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


def _settings(url: str, *, api_key: str | None) -> dict[str, Any]:
    address = _address(url)
    headers = {"User-Agent": f"duly-python/{__version__}", "Accept": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {_visible_ascii(api_key)}"
    # A proxy from the environment cannot reach the loopback of this machine.
    on_loopback = address.host in {"localhost", "127.0.0.1", "::1"}
    return {"base_url": address, "headers": headers, "trust_env": not on_loopback}


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
