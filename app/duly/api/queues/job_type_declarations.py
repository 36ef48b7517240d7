"""`PUT` and `DELETE` of `/api/v1/job-types/{type}`: job types that no Python handler declares."""

from typing import TYPE_CHECKING, Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from duly.api.contract.openapi_parts import json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.submission_reader import read_body
from duly.api.queues.job_type_models import JobTypeBody, JobTypeDeclaration, ShownType
from duly.api.queues.job_types import PATH, job_type_bodies
from duly.api.queues.queues import NAME
from duly.api.server.scope_values import audited_actor_of, node_of, principal_of, tenant_of
from duly.domain.declared_type import MOST_SCHEMA_BYTES, DeclaredType
from duly.domain.json_writer import dump_text
from duly.domain.key_scope import KeyScope
from duly.domain.names import LONGEST_NAME, is_name
from duly.domain.retry import RetryPolicy
from duly.domain.schema_subschemas import SchemaRefused
from duly.errors import Forbidden, Invalid, NotFound, PathError

if TYPE_CHECKING:
    from duly.lifecycle.job_types.schema_validator import SchemaValidator

router = APIRouter(prefix=PATH, tags=["job types"])


@router.put(
    "/{type:path}",
    operation_id="declareJobType",
    summary="Declare a job type",
    response_model=JobTypeBody,
    responses=error_responses(
        *(400, 404, 409, 413, 415, 422, 503),  # 404: a name with a line break is no path
        also={201: {"model": JobTypeBody, "description": "The job type is new"}},
    ),
    dependencies=[accepts_query("force")],
    openapi_extra=json_body("JobTypeDeclaration"),
)
async def declare(
    request: Request,
    type: str,  # noqa: A002  # the contract's word
    *,
    force: Annotated[bool, Query(description="Declares it even if waiting jobs do not fit the new schema.")] = False,
) -> Response:
    """Declares a job type for workers that pull jobs over HTTP, or replaces its declaration. Submissions are accepted
    whether or not a worker is running. Other nodes know the declaration within 5 seconds.

    If the schema of parameters has changed, up to 10,000 waiting jobs are compared with it.
    """
    name = _name(type)
    _require_type(request, name)
    body = read_body(request, JobTypeDeclaration)
    parameters = _compiled("parametersSchema", body.parametersSchema)
    _compiled("resultSchema", body.resultSchema)
    record, is_new = await node_of(request).job_type_parts.declarer.declare(
        tenant_of(request), _declared(name, body), parameters, by=audited_actor_of(request), force=force
    )
    [shown], _ = await job_type_bodies(request, [ShownType(record.declared, record.declared_at)])
    return json_response(orjson.dumps(shown), *((201, {"Location": f"{PATH}/{name}"}) if is_new else ()))


@router.delete(
    "/{type:path}",
    operation_id="deleteJobType",
    summary="Delete a job type",
    status_code=204,
    responses=error_responses(404, 409, 422, 503),
    dependencies=[accepts_query()],
)
async def delete(request: Request, type: str) -> Response:  # noqa: A002  # the contract's word
    """Deletes the declaration of a job type of which no job waits or runs. One that Python handlers have declared can
    be deleted with the scope `operator`, once no live worker has the handler.
    """
    if not is_name(type):  # a text that the database might refuse
        raise NotFound(f'Job type "{type}" is not declared.')
    _require_type(request, type)
    declarer, of_handlers = node_of(request).job_type_parts.declarer, principal_of(request).has(KeyScope.OPERATOR)
    await declarer.delete(tenant_of(request), type, by=audited_actor_of(request), of_handlers=of_handlers)
    return Response(status_code=204)


def parameters_of(request: Request) -> "SchemaValidator":
    """Returns the compiled schema of parameters of a valid declaration, for all cells together."""
    return _compiled("parametersSchema", read_body(request, JobTypeDeclaration).parametersSchema)


def _require_type(request: Request, job_type: str) -> None:
    """Raises Forbidden if the key is bound to other job types."""
    types = principal_of(request).types
    if types is not None and job_type not in types:
        raise Forbidden(
            f'This API key may not use the job type "{job_type}".', reason="Use a key that is not bound to other types."
        )


def _name(text: str) -> str:
    try:
        return NAME.validate_python(text)
    except ValidationError:
        message = f"must be at most {LONGEST_NAME} letters, digits and . _ : / -, and a valid name"
        raise Invalid.at([PathError("type", message)]) from None


def _declared(name: str, body: JobTypeDeclaration) -> DeclaredType:
    retry = body.retry
    try:
        policy = RetryPolicy(retry.shape, retry.firstSeconds, retry.capSeconds, retry.factor, retry.jitter)
    except ValueError as error:
        raise Invalid.at([PathError("retry.capSeconds", str(error))]) from None
    return DeclaredType(
        type=name,
        description=body.description,
        parameters_schema=dump_text(body.parametersSchema),
        result_schema=dump_text(body.resultSchema),
        timeout_seconds=body.timeoutSeconds,
        max_attempts=body.maxAttempts,
        retry=policy,
        queue=body.queue,
        holds=body.onExhausted == "hold",
    )


def _compiled(member: str, schema: dict[str, object]) -> "SchemaValidator":
    from duly.lifecycle.job_types.schema_validator import SchemaValidator  # noqa: PLC0415  # 4 MB, for rare schemas

    text = dump_text(schema)
    if len(text.encode()) > MOST_SCHEMA_BYTES:
        raise Invalid.at([PathError(member, f"too large (limit: {MOST_SCHEMA_BYTES:,} bytes)")])
    try:
        return SchemaValidator(text)
    except SchemaRefused as refused:
        path = f"{member}.{refused.path}" if refused.path else member
        raise Invalid.at([PathError(path, refused.message)]) from None
