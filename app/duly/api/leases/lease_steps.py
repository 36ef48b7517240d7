"""Steps and waits of attempts on workers over HTTP: `…/{leaseId}/steps/{name}` and `…/{leaseId}/park`."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from duly.api.contract.openapi_parts import json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.signals import check_signal_name
from duly.api.jobs.submission_reader import reader_of
from duly.api.jobs.submission_steps import load_job_types
from duly.api.leases.ends import end_response, record_end, request_digest
from duly.api.leases.lease_paths import PATH, lease_of
from duly.api.leases.models import Compensation, EndedLeaseBody, LeaseParkRequest, LeaseStepBody, LeaseStepRequest
from duly.api.server.scope_values import node_of
from duly.domain.json_writer import dump_text
from duly.domain.lease_id import Lease
from duly.domain.outcome import Parked
from duly.domain.steps import StepKind, Wait
from duly.errors import BodyTooLarge, Invalid, PathError
from duly.handlers.step_calls import RESULT_LIMIT
from duly.handlers.waits import LONGEST_WAIT_SECONDS
from duly.lifecycle.leases.ends import ReportedEnd
from duly.lifecycle.leases.steps import LeasedStep
from duly.lifecycle.submit.submission_errors import nested_under
from duly.lifecycle.submit.submission_model import Submission, SubmissionOrigin
from duly.lifecycle.submit.validate_model import read_model

_REFUSALS = error_responses(400, 404, 409, 413, 415, 422, 503)
router = APIRouter(prefix=PATH, tags=["leases"])


@router.post(
    "/{leaseId}/steps/{name}",
    operation_id="recordLeaseStep",
    summary="Record a step",
    response_model=LeaseStepBody,
    responses=_REFUSALS,
    dependencies=[accepts_query()],
    openapi_extra=json_body("LeaseStepRequest"),
)
async def record_step(request: Request, leaseId: str, name: str) -> Response:  # noqa: N803  # the contract's spelling
    """Records the result of a step of an attempt. Later attempts of the job find it in `steps` of their lease, and need
    not do the step again.

    A step is recorded once for each name: the same result again gets the same response, another one 409
    `STEP_ALREADY_RECORDED`. A lost lease gets 409 `LEASE_LOST`.
    """
    lease, value = lease_of(request, leaseId), _value(request)
    check_signal_name(name)
    read = read_model(LeaseStepRequest, value)
    result = _result_text(value.get("result"))
    compensation = value.get("compensation")
    if read.compensation is not None:
        await _check_compensation(request, lease, read.compensation)
    facts = {"step": name, "attempts": 1, "startedAt": None}
    data = f'{json.dumps(facts)[:-1]}, "compensation": {dump_text(compensation)}, "result": {result}}}'
    step = LeasedStep(name, result, data, compensable=compensation is not None)
    await node_of(request).leases.steps.record(lease, step)
    return json_response(orjson.dumps({"jobId": str(lease.job_id), "name": name}))


def _value(request: Request) -> dict[str, Any]:
    """Returns the JSON value of the body; its model refuses one that is no object."""
    value: Any = reader_of(request).json(request)
    return value if isinstance(value, dict) else read_model(LeaseStepRequest, value)  # type: ignore[return-value]


def _result_text(result: object) -> str:
    """Returns a result as JSON text, with its numbers as they were sent.

    Raises:
        BodyTooLarge: it exceeds the limit of steps.
    """
    text = dump_text(result)
    if len(text.encode()) > RESULT_LIMIT:
        message = f"Result of a step too large (limit: {RESULT_LIMIT:,} bytes)."
        raise BodyTooLarge(message, details={"errors": [{"path": "result", "message": message}]})
    return text


async def _check_compensation(request: Request, lease: Lease, compensation: Compensation) -> None:
    """Checks that the job of a compensation could be submitted now.

    Raises:
        Invalid, ParametersInvalid, UnknownJobType: it could not.
    """
    await load_job_types(node_of(request), lease.tenant_id)
    submission = Submission(type=compensation.type, parameters=compensation.parameters)
    with nested_under("compensation"):
        reader_of(request).builder.job(submission, SubmissionOrigin(lease.tenant_id, None, None))


@router.post(
    "/{leaseId}/park",
    operation_id="parkLease",
    summary="Wait for a time or a signal",
    response_model=EndedLeaseBody,
    responses=_REFUSALS,
    dependencies=[accepts_query()],
    openapi_extra=json_body("LeaseParkRequest"),
)
async def park(request: Request, leaseId: str) -> Response:  # noqa: N803
    """Ends an attempt whose job waits for a time or a signal. The job runs again then, on any worker, and finds the
    signal in `steps` of its lease; the attempt is not counted.

    A signal that was sent before resumes the job at once. Repeated and lost: as for `complete`.
    """
    lease = lease_of(request, leaseId)
    value = reader_of(request).json(request)
    wait = _wait(read_model(LeaseParkRequest, value), now=node_of(request).clock.now())
    reported = ReportedEnd(lease, Parked((wait,)), request_digest("park", value))
    return end_response(await record_end(request, reported))


def _wait(read: LeaseParkRequest, *, now: datetime) -> Wait:
    """Returns the wait of a request. One for the same time has the same name, whenever it is requested.

    Raises:
        Invalid: the time is too far away, or the name is invalid.
    """
    if read.signal is not None:
        check_signal_name(read.signal, path="signal")
        return Wait(StepKind.SIGNAL, read.signal, read.timeoutSeconds)
    until = read.until or now
    seconds = (until - now).total_seconds()
    if seconds > LONGEST_WAIT_SECONDS:
        raise Invalid.at([PathError("until", "must be within ten years")])
    return Wait(StepKind.TIMER, f"until-{until.astimezone(UTC):%Y%m%dt%H%M%S.%fz}", max(0.0, seconds))
