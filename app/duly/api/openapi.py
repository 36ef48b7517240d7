"""The OpenAPI document: what FastAPI knows of the routes, and what bare endpoints and the gate add to it."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from duly.api.flow_control import StartLimits
from duly.api.intake import IntakeLimitsBody
from duly.api.models import ErrorBody
from duly.api.schedule_models import Schedule, ScheduleChange
from duly.api.submission import Batch
from duly.api.tickets import TicketRequest
from duly.api.webhook_models import SecretRotation, Webhook, WebhookChange

DESCRIPTION = """Submit a job, get an answer at once; then poll, follow its stream, or be called back with a signed
webhook. Every error has one shape; every job has one `sequence`.

Wherever GET is, HEAD is too, except for streams. OPTIONS needs no key and answers 204 with `Allow`. Request content is
not compressed: a `Content-Encoding` other than `identity` is a 415."""
# What the document names and no route declares as its own model.
_BY_REFERENCE: tuple[type[BaseModel], ...] = (
    *(Batch, ErrorBody, IntakeLimitsBody, Schedule, ScheduleChange, SecretRotation, StartLimits, TicketRequest),
    *(Webhook, WebhookChange),
)


def document_of(app: FastAPI) -> dict[str, Any]:
    """Returns the document of these routes. It is made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, schemas = models_json_schema(
            [(model, "validation") for model in _BY_REFERENCE],
            ref_template="#/components/schemas/{model}",
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(schemas["$defs"])
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema
