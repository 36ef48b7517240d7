"""Checks that apply to every response."""

import re
from typing import Any

import httpx

from duly.api.contract.response_models import ErrorBody

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
JSON = {"Content-Type": "application/json"}


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Checks that a response is an error in the shape of the contract. Returns its `error`."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-Id"]
    body: dict[str, Any] = answer.json()
    ErrorBody.model_validate(body, strict=True)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "details"}
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    error: dict[str, Any] = body["error"]
    return error


def invalid_paths(answer: httpx.Response, code: str = "VALIDATION_FAILED") -> list[str]:
    """Returns the paths of the errors in a 422 response."""
    errors = refused(answer, 422, code)["details"]["errors"]
    assert all(set(error) == {"path", "message"} and error["message"] for error in errors)
    return [error["path"] for error in errors]
