"""The built-in job type `http.request`: calls an HTTP service, under the network rules of webhooks."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from duly import __version__
from duly.domain.egress_policy import parse_target
from duly.domain.header_rules import header_name_refusal, header_value_refusal
from duly.domain.json_value import dump_text
from duly.handlers.context import JobContext
from duly.handlers.http_result import Answered, judged, judged_failure
from duly.outbound import Method, OutboundClient, OutboundError
from duly.settings import Settings

TYPE: Final = "http.request"
# Of an attempt, where the job says nothing else.
TIMEOUT_SECONDS: Final = 30
# The longest that a job's own timeout may be: that is what ends a call, not the client.
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
        raise PydanticCustomError("header_twice", "two names differ in nothing but upper and lower case")
    return headers


def _listed(value: object) -> object:
    return [value] if isinstance(value, int) else value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Status = Annotated[int, Field(ge=200, le=599)]


class RequestMembers(BaseModel):
    """What is sent, and what is expected. `body` null is no body."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, title="HttpRequest")

    method: Method = "POST"
    url: str = Field(description="under the network rules of webhooks")
    headers: Annotated[dict[HeaderName, HeaderValue], AfterValidator(_each_once)] = Field(
        default_factory=dict, max_length=_MOST_HEADERS
    )
    body: Any = Field(
        default=None, description="a text is sent as it is, any other value as JSON; without one, or null, nothing is"
    )
    expectStatus: Annotated[  # noqa: N815 - the name in the JSON
        list[Status] | None, BeforeValidator(_listed, json_schema_input_type=Status | list[Status] | None)
    ] = Field(default=None, min_length=1, max_length=_MOST_STATUSES, description="what is success; any 2xx if none")


def http_request(client: OutboundClient) -> Callable[..., Awaitable[Answered]]:
    """The handler of `http.request`, calling through this client. What the client refuses is refused at submission."""

    def callable_url(url: str) -> str:
        if refused := client.refusal(url):
            raise PydanticCustomError("url", "{reason}", {"reason": refused})
        return url

    class HttpRequest(RequestMembers):
        url: Annotated[str, AfterValidator(callable_url)] = Field(description="under the network rules of webhooks")

    async def send(parameters: HttpRequest, job: JobContext) -> Answered:
        """Sends an HTTP request; the answer is its result. It is tried again where a failure may pass."""
        headers = _added(parameters, job)
        content = _content(parameters, headers)
        origin = parse_target(parameters.url).origin  # never more of it in an error: a path or query may be a secret
        try:
            answer = await client.request(parameters.method, parameters.url, content=content, headers=headers)
        except OutboundError as error:
            raise judged_failure(error, method=parameters.method, origin=origin) from None
        return judged(answer, expected=parameters.expectStatus, shown=f"{parameters.method} {origin}")

    return send


def client_for_jobs(settings: Settings) -> OutboundClient:
    """One of their own, so that no job takes a connection from a webhook: as many as jobs may run at once."""
    return OutboundClient(
        reach=settings.reach,
        connections=settings.worker_slots,
        connections_per_host=settings.worker_slots,
        total_seconds=_LONGEST_SECONDS,
        connect_seconds=settings.webhook_connect_seconds,
    )


def _added(parameters: RequestMembers, job: JobContext) -> dict[str, str]:
    """The headers, with what tells the receiver whose request it is; the submitter's own go before."""
    headers = {"user-agent": f"Duly/{__version__}", "x-correlation-id": job.correlation_id}
    if job.traceparent:
        headers["traceparent"] = job.traceparent
    if parameters.method not in _SAFE:
        headers["idempotency-key"] = job.idempotency_token
    return headers | {name.lower(): value for name, value in parameters.headers.items()}


def _content(parameters: RequestMembers, headers: dict[str, str]) -> bytes | None:
    """The body as bytes; says in `headers` what it is, where they do not say it yet."""
    if parameters.body is None:
        return None
    if isinstance(parameters.body, str):
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return parameters.body.encode()
    headers.setdefault("content-type", "application/json")
    return dump_text(parameters.body).encode()
