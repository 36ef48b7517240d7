"""The OpenAPI document: FastAPI's description of the routes, in a form from which clients can be generated.

FastAPI and pydantic describe Python. In this document no `default` makes a member look required, no title repeats the
name of a member, and an optional query parameter is not nullable.
"""

import json
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from duly.api.access.key_models import KeyRequest, KeyRotation
from duly.api.access.tenants import TenantChange, TenantRequest
from duly.api.batches.batch_reader import BatchRequest
from duly.api.contract.openapi_parts import (
    HEADERS,
    HEADERS_BY_OPERATION,
    HEADERS_BY_STATUS,
    PATH_PARAMETERS,
    QUERY_TEXTS,
    TAGS,
)
from duly.api.contract.response_models import ErrorBody
from duly.api.contract.responses import json_response
from duly.api.jobs.retry_and_bulk_actions import JobRetryRequest
from duly.api.leases.models import (
    CompleteRequest,
    CompletionsRequest,
    FailRequest,
    HeartbeatRequest,
    HeartbeatsRequest,
    LeaseChildrenRequest,
    LeaseParkRequest,
    LeaseRelease,
    LeaseRequest,
    LeaseStepRequest,
)
from duly.api.queues.job_type_models import JobTypeDeclaration
from duly.api.queues.limit_models import StartLimits
from duly.api.queues.submission_limits import SubmissionLimitsBody
from duly.api.schedules.models import ScheduleChange, ScheduleDefinition, ScheduleRequest
from duly.api.server.route_scopes import ROUTE_SCOPES
from duly.api.streams.stream_tickets import TicketRequest
from duly.api.webhooks.delivery_models import ReplayRequest
from duly.api.webhooks.endpoint_models import SecretRotation, Webhook, WebhookChange

PATH = "/openapi.json"
DESCRIPTION = """Submit a job; then poll it, follow its event stream, or receive a signed webhook. All errors have the
same shape; each job has one `sequence`, the number of its newest event.

- HEAD is supported wherever GET is, except for streams. OPTIONS returns 204 and `Allow`.
- `X-Request-Id` is taken from the request, or generated, and is on every response.
- Refused before authentication: 400 (`Host` missing or malformed), 408, 414, 415 and 431.
- Each operation names the scope that its API key needs; a key without it gets 403 `SCOPE_MISSING`. Without the scope
  `jobs:payload`, parameters, results, error texts, logs and progress texts are null.
- A key with the scope `operator` acts for the tenant that the header `X-Duly-Tenant` names.
- A key with a rate gets 429 `RATE_LIMITED` for any request beyond it.
- With `Accept: application/problem+json`, errors have the format of RFC 9457.
- Operation ids, and names and types of members, do not change within `/api/v1`. New members may be added to responses:
  ignore unknown ones."""
LICENSE = {"name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}
CONTACT = {"name": "The maintainers of Duly"}
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "API key. Each operation lists the scope that it needs. A service without a key is open, and bound "
    "to loopback.",
}
# Models that the document refers to and no route declares.
_BY_REFERENCE: tuple[type[BaseModel], ...] = (
    *(
        BatchRequest,
        ErrorBody,
        JobRetryRequest,
        ReplayRequest,
        ScheduleChange,
        ScheduleDefinition,
        ScheduleRequest,
        SecretRotation,
        StartLimits,
    ),
    *(JobTypeDeclaration, KeyRequest, KeyRotation, TenantChange, TenantRequest),
    *(CompleteRequest, CompletionsRequest, FailRequest, HeartbeatRequest, HeartbeatsRequest, LeaseRelease),
    *(LeaseChildrenRequest, LeaseParkRequest, LeaseRequest, LeaseStepRequest),
    *(SubmissionLimitsBody, TicketRequest, Webhook, WebhookChange),
)
# Names in the document that differ from those of the classes.
_RENAMED = {
    "BatchRequest": "Batch",
    "Cause": "WhyCause",
    "JobTypeBreakerBody": "JobTypeBreaker",
    "ScheduleRequest": "Schedule",
    "Status": "JobStatus",
}
_NULL = {"type": "null"}
_SUCCESSES = {"200": "Success", "201": "Created", "202": "Accepted", "204": "Success, without a body"}


def add_document(app: FastAPI) -> None:
    """Adds `/openapi.json`, whose server is the path prefix of its request."""
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it

    async def openapi(request: Request) -> Response:
        server = {"url": request.scope.get("root_path", "") or "/"}
        return json_response(orjson.dumps({**app.openapi(), "servers": [server]}))

    app.add_route(PATH, openapi, include_in_schema=False)


def document_of(app: FastAPI) -> dict[str, Any]:
    """Returns the document of these routes, without its servers. It is built once."""
    if app.openapi_schema is None:
        tags = [{"name": name, "description": text} for name, text in sorted(TAGS.items())]
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=tags,
            license_info=LICENSE,
            contact=CONTACT,
        )
        for path, item in document["paths"].items():
            for method, operation in item.items():
                _finish(operation)
                if (scope := ROUTE_SCOPES.get((method.upper(), path))) is not None:
                    # Linters accept scopes in `security` for OAuth only.
                    operation["x-required-scope"] = str(scope)
                    operation["description"] += f"\n\nRequired scope: `{scope}`."
        document["components"] = _components(document.get("components", {}).get("schemas", {}))
        document["security"] = [{"key": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema


def _components(schemas: dict[str, Any]) -> dict[str, Any]:
    _, found = models_json_schema(
        [(model, "validation") for model in _BY_REFERENCE], ref_template="#/components/schemas/{model}"
    )
    schemas |= found.get("$defs", {})
    for schema in schemas.values():
        for node in _schemas_in(schema):
            _tidy(node)
            _without_default(node)
    return {
        # A renamed schema may have a twin under that name, which differs in its description at most.
        "schemas": dict(
            sorted(((_RENAMED.get(name, name), schema) for name, schema in schemas.items()), key=itemgetter(0))
        ),
        "headers": HEADERS,
        "securitySchemes": {"key": KEY},
    }


def _finish(operation: dict[str, Any]) -> None:
    """Completes an operation in place."""
    name = operation["operationId"]
    for parameter in operation.get("parameters", ()):
        _finish_parameter(parameter)
    for status, response in operation["responses"].items():
        if response["description"] == "Successful Response":  # FastAPI's default
            response["description"] = _SUCCESSES[status]
        also = HEADERS_BY_OPERATION.get(name, {}).get(status, HEADERS_BY_STATUS.get(status, ()))
        response["headers"] = {each: {"$ref": f"#/components/headers/{each}"} for each in ("X-Request-Id", *also)}
        for content in response.get("content", {}).values():
            for node in _schemas_in(content.get("schema", {})):
                _tidy(node)


def _finish_parameter(parameter: dict[str, Any]) -> None:
    schema, name = parameter["schema"], parameter["name"]
    if parameter["in"] == "path":
        parameter["schema"], parameter["description"] = PATH_PARAMETERS[name]
        return
    # Null cannot be written in a query: the parameter is omitted instead.
    others = [option for option in schema.get("anyOf", ()) if option != _NULL]
    if len(others) == 1:
        del schema["anyOf"]
        schema |= {**others[0], **schema}
    for node in _schemas_in(schema):
        _tidy(node)
    text = schema.pop("description", None)
    if "description" not in parameter:
        parameter["description"] = text or QUERY_TEXTS[name]


def _schemas_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Yields this schema and those inside of it, without examples and names of members."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key in ("properties", "$defs"):
        for inner in schema.get(key, {}).values():
            yield from _schemas_in(inner)
    for key in ("items", "additionalProperties", "propertyNames"):
        yield from _schemas_in(schema.get(key))
    for key in ("anyOf", "allOf", "oneOf"):
        for inner in schema.get(key, ()):
            yield from _schemas_in(inner)


def _tidy(schema: dict[str, Any]) -> None:
    """Removes the title, which repeats a name, and corrects references to renamed schemas."""
    schema.pop("title", None)
    way, _, name = schema.get("$ref", "").rpartition("/")
    if name in _RENAMED:
        schema["$ref"] = f"{way}/{_RENAMED[name]}"


def _without_default(schema: dict[str, Any]) -> None:
    """Moves the default into the description: generators for TypeScript make members with a default required."""
    default = schema.pop("default", None)
    if default not in (None, [], {}):
        text = f"{schema['description'].rstrip('.')}. " if "description" in schema else ""
        schema["description"] = f"{text}Default: `{json.dumps(default)}`"
