"""The application: the list of routers, the bare endpoints, and the middleware around them."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from duly import __version__
from duly.api.access import audit, keys, tenants
from duly.api.batches import batches
from duly.api.batches.batch_ndjson import SubmitLinesEndpoint
from duly.api.contract.compression import compressed
from duly.api.contract.error_responses import as_duly_error, as_response
from duly.api.jobs import explain, job, job_logs, list_jobs, retry_and_bulk_actions, submit_job
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.openapi import DESCRIPTION, add_document
from duly.api.queues import flow_control, job_types, queues, submission_limits
from duly.api.schedules import schedules
from duly.api.server import health
from duly.api.server.access_lines import routes_in
from duly.api.server.allowed_methods import AddressTable
from duly.api.server.allowed_origins import SOCKET
from duly.api.server.middleware import BareEndpoints, RequestMiddleware
from duly.api.server.scope_values import header_text, node_of
from duly.api.streams import job_events, stream_tickets, tenant_events
from duly.api.streams.websocket import job_socket
from duly.api.webhooks import deliveries, endpoints, replays
from duly.domain.node_role import Role
from duly.errors import DulyError
from duly.node import Node
from duly.store.postgres.database import DatabaseError

# In the order in which they are matched.
API_ROUTERS = (
    *(batches.router, retry_and_bulk_actions.router, submit_job.router, job.router, list_jobs.router),
    *(job_events.router, tenant_events.router, stream_tickets.router, job_logs.router, explain.router),
    *(submission_limits.router, flow_control.router, job_types.router, schedules.router),
    *(endpoints.router, deliveries.router, replays.router, queues.router),
    *(keys.router, tenants.router, audit.router),
)


def create_app(node: Node, routes: FastAPI | None = None) -> ASGIApp:
    """Returns the ASGI application of a node.

    Args:
        node: the node that serves the requests.
        routes: those of another node, made by `routes_of`. Their first requests take tens of milliseconds.
    """
    serving = Role.API in node.settings.roles  # the other roles have probes and metrics only
    routes = routes or routes_of(serving=serving)
    return RequestMiddleware(
        routes,
        node=node,
        reader=SubmissionReader(node),
        endpoints=_bare_endpoints() if serving else BareEndpoints(),
        body_limits={batches.PATH: node.settings.batch_body_limit},
        addresses=routes.state.addresses,
    )


def _bare_endpoints() -> BareEndpoints:
    return BareEndpoints(
        hot={
            ("POST", submit_job.PATH): submit_job.submit_job,
            ("POST", batches.PATH): batches.submit_batch,
            ("PUT", submit_job.PREFIX): submit_job.submit_job_with_id,
        },
        lines={batches.PATH: SubmitLinesEndpoint()},
        sockets={SOCKET: job_socket},
    )


def routes_of(*, serving: bool) -> FastAPI:
    """Returns all routes; without `serving`, probes and metrics only. They belong to no node: any may serve them."""
    app = FastAPI(
        title="Duly",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    routers = (*(API_ROUTERS if serving else ()), health.router)
    for router in routers:
        app.include_router(router)
    add_document(app)
    pages = [route for route in app.routes if type(route) is Route]  # the document and the page that shows it
    app.state.addresses = AddressTable([*routes_in(routers), *pages])
    # One by one: Starlette would raise again what is registered as `Exception` only.
    for kind in (HTTPException, RequestValidationError, ValidationError, DulyError, DatabaseError, Exception):
        app.add_exception_handler(kind, _error_response)
    app.add_middleware(compressed)
    return app


async def _error_response(request: Request, error: Exception) -> Response:
    """Returns the response to an error raised inside of FastAPI."""
    failure = as_duly_error(error, request_id=request.scope["duly.request_id"])
    node_of(request).metrics.refused.labels(failure.code).inc()
    request.scope["duly.exchange"].code = failure.code
    return as_response(failure, accept=header_text(request, b"accept"))
