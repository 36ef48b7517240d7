"""Signals that a handler sends: to which job, and their bodies as JSON."""

from typing import Any
from uuid import UUID

from pydantic_core import PydanticSerializationError, to_json

from duly.domain.steps import SIGNAL_LIMIT, STEP_NAME_PATTERN, is_step_name
from duly.handlers.exceptions import HandlerError
from duly.handlers.step_backend import SignalRequest


def signal_request(job_id: UUID | str, name: str, body: Any) -> SignalRequest:
    """Returns a signal with its body as JSON text, which the receiver of the request parses with all checks.

    Raises:
        HandlerError: the ID or the name is invalid, or the body is not JSON or too large.
    """
    what = f"signal {name!r} to job {job_id}"
    try:
        known = UUID(str(job_id))
    except ValueError:
        raise HandlerError(f"{what}: its ID is not a UUID") from None
    if not isinstance(name, str) or not is_step_name(name):
        raise HandlerError(f"{what}: its name must match {STEP_NAME_PATTERN}")
    request = SignalRequest(known, name, "")
    try:
        text = to_json(body, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise request.refused(f"its body is not JSON: {error}") from None
    if len(text) > SIGNAL_LIMIT:
        raise request.refused(
            f"its body is too large ({len(text):,} bytes of JSON, limit {SIGNAL_LIMIT:,}); send a reference to it"
        )
    return request._replace(body=text.decode())
