"""Built-in job type `http.request`: calls an HTTP service, under the network rules of webhooks."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from duly import __version__
from duly.domain.egress_policy import EgressPolicy, parse_target
from duly.domain.header_rules import header_name_refusal, header_value_refusal
from duly.domain.json_writer import dump_text
from duly.handlers.context import JobContext
from duly.handlers.http_result import HttpResult, failure_of, result_of
from duly.outbound import Method, OutboundClient, OutboundError, url_refusal
from duly.settings import Settings

TYPE: Final = "http.request"
# Default timeout of an attempt.
TIMEOUT_SECONDS: Final = 30
# Maximum timeout of a job: calls end by it, not by the client.
_LONGEST_SECONDS: Final = 30 * 86400
_MOST_HEADERS: Final = 64
_MOST_STATUSES: Final = 100
_SAFE: Final = frozenset({"GET", "HEAD"})


def _header_name(name: str) -> str:
    if refused := header_name_refusal(name):
        raise PydanticCustomError("header_name", "{reason}", {"reason": refused})
    return name


def _header_value(value: str) -> str:
    if refused := header_value_refusal(value):
        raise PydanticCustomError("header_value", "{reason}", {"reason": refused})
    return value


def _each_once(headers: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in headers}) < len(headers):
        raise PydanticCustomError("header_twice", "two names differ only in case")
    return headers


def _listed(value: object) -> object:
    return [value] if isinstance(value, int) else value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Status = Annotated[int, Field(ge=200, le=599)]


class RequestMembers(BaseModel):
    """Request to send and status to expect. `body` null sends no body."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, title="HttpRequest")

    method: Method = "POST"
    url: str = Field(description="under the network rules of webhooks")
    headers: Annotated[dict[HeaderName, HeaderValue], AfterValidator(_each_once)] = Field(
        default_factory=dict, max_length=_MOST_HEADERS
    )
    body: Any = Field(default=None, description="a string is sent as is, any other value as JSON; null sends no body")
    expectStatus: Annotated[  # noqa: N815 - the name in the JSON
        list[Status] | None, BeforeValidator(_listed, json_schema_input_type=Status | list[Status] | None)
    ] = Field(default=None, min_length=1, max_length=_MOST_STATUSES, description="expected status; any 2xx by default")


@lru_cache(maxsize=16)  # building a model costs as much as the rest of a registry, and tests start many services
def _parameters_under(egress: EgressPolicy) -> type[RequestMembers]:
    """Returns the model of the parameters that refuses the URLs that this policy blocks."""

    def callable_url(url: str) -> str:
        if refused := url_refusal(url, egress=egress):
            raise PydanticCustomError("url", "{reason}", {"reason": refused})
        return url

    class HttpRequest(RequestMembers):
        url: Annotated[str, AfterValidator(callable_url)] = Field(description="under the network rules of webhooks")

    return HttpRequest


def http_request(client: OutboundClient) -> Callable[..., Awaitable[HttpResult]]:
    """Returns the handler of `http.request`. URLs that the client blocks are refused at submission."""

    async def send(parameters: RequestMembers, job: JobContext) -> HttpResult:
        """Sends an HTTP request and returns the response. Temporary failures are retried."""
        headers = _headers(parameters, job)
        content = _content(parameters, headers)
        origin = parse_target(
            parameters.url
        ).origin  # errors name the origin only: a path or query may contain a secret
        try:
            answer = await client.request(parameters.method, parameters.url, content=content, headers=headers)
        except OutboundError as error:
            raise failure_of(error, method=parameters.method, origin=origin) from None
        return result_of(answer, expected=parameters.expectStatus, shown=f"{parameters.method} {origin}")

    send.__annotations__["parameters"] = _parameters_under(client.egress)
    return send


def client_for_jobs(settings: Settings) -> OutboundClient:
    """Returns a client for jobs, separate from that of webhooks, with a connection for each slot."""
    return OutboundClient(
        egress=settings.egress,
        connections=settings.worker_slots,
        connections_per_host=settings.worker_slots,
        total_seconds=_LONGEST_SECONDS,
        connect_seconds=settings.webhook_connect_seconds,
    )


def _headers(parameters: RequestMembers, job: JobContext) -> dict[str, str]:
    """Returns the headers of the request. Headers of the submission override the default ones."""
    headers = {"user-agent": f"Duly/{__version__}", "x-correlation-id": job.correlation_id}
    if job.traceparent:
        headers["traceparent"] = job.traceparent
    if parameters.method not in _SAFE:
        headers["idempotency-key"] = job.idempotency_token
    return headers | {name.lower(): value for name, value in parameters.headers.items()}


def _content(parameters: RequestMembers, headers: dict[str, str]) -> bytes | None:
    """Returns the body as bytes, and sets a missing `content-type` in `headers`."""
    if parameters.body is None:
        return None
    if isinstance(parameters.body, str):
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return parameters.body.encode()
    headers.setdefault("content-type", "application/json")
    return dump_text(parameters.body).encode()
