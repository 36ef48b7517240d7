"""The application: the list of routers, the bare endpoints, and the middleware around them."""

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from duly import __version__
from duly.api.access import audit, keys, tenants
from duly.api.batches import batches, list_batches
from duly.api.batches.batch_ndjson import SubmitLinesEndpoint
from duly.api.contract.compression import compressed
from duly.api.contract.error_responses import as_duly_error, as_response
from duly.api.dashboard import pages, session
from duly.api.figures import figures, nodes, scaling
from duly.api.jobs import (
    explain,
    job,
    job_logs,
    list_jobs,
    retry_and_bulk_actions,
    signal_links,
    signals,
    steps,
    submit_job,
)
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.leases import claim_leases, ends, heartbeats, lease_children, lease_paths, lease_steps
from duly.api.openapi import DESCRIPTION, add_document
from duly.api.queues import flow_control, job_type_declarations, job_types, queues, submission_limits
from duly.api.schedules import due_times_and_runs, schedules
from duly.api.server import health
from duly.api.server.access_lines import routes_in
from duly.api.server.allowed_methods import AddressTable
from duly.api.server.allowed_origins import SOCKET
from duly.api.server.middleware import BareEndpoints, RequestMiddleware
from duly.api.server.scope_values import header_text, node_of
from duly.api.streams import job_events, stream_tickets, tenant_events
from duly.api.streams.websocket import job_socket
from duly.api.webhooks import deliveries, endpoint_health, endpoints, replays
from duly.domain.node_role import Role
from duly.errors import DulyError
from duly.node import Node
from duly.store.postgres.database import DatabaseError

# In the order in which they are matched.
API_ROUTERS = (
    *(
        batches.router,
        list_batches.router,
        retry_and_bulk_actions.router,
        submit_job.router,
        job.router,
        list_jobs.router,
    ),
    *(signals.router, signal_links.router, steps.router),
    *(job_events.router, tenant_events.router, stream_tickets.router, job_logs.router, explain.router),
    *(submission_limits.router, flow_control.router, job_types.router, job_type_declarations.router),
    *(schedules.router, due_times_and_runs.router, queues.router),
    *(endpoints.router, endpoint_health.router, deliveries.router, replays.router),
    *(keys.router, tenants.router, audit.router),
    *(figures.router, nodes.router, scaling.router),
    *(claim_leases.router, heartbeats.router, ends.router, lease_children.router, lease_steps.router),
    *(session.router, pages.router),
)


Wrap = Callable[[ASGIApp, BareEndpoints], tuple[ASGIApp, BareEndpoints]]


def create_app(node: Node, routes: FastAPI | None = None, *, wrap: Wrap | None = None) -> ASGIApp:
    """Returns the ASGI application of a node.

    Args:
        node: the node that serves the requests.
        routes: those of another node, made by `routes_of` (default: new ones).
        wrap: wraps the routes and the bare endpoints, which get authenticated requests.
    """
    serving = Role.API in node.settings.roles  # the other roles have probes and metrics only
    routes = routes or routes_of(serving=serving)
    endpoints = _bare_endpoints() if serving else BareEndpoints()
    app: ASGIApp = routes
    if wrap is not None:
        app, endpoints = wrap(routes, endpoints)
    return RequestMiddleware(
        app,
        node=node,
        reader=SubmissionReader(node),
        endpoints=endpoints,
        body_limits=dict.fromkeys((batches.PATH, ends.COMPLETIONS), node.settings.batch_body_limit),
        addresses=routes.state.addresses,
    )


def _bare_endpoints() -> BareEndpoints:
    return BareEndpoints(
        hot={
            ("POST", submit_job.PATH): submit_job.submit_job,
            ("POST", batches.PATH): batches.submit_batch,
            ("POST", lease_paths.PATH): claim_leases.claim_leases,
            ("POST", ends.COMPLETIONS): ends.complete_leases,
            ("PUT", submit_job.PREFIX): submit_job.submit_job_with_id,
        },
        lines={batches.PATH: SubmitLinesEndpoint()},
        sockets={SOCKET: job_socket},
    )


def routes_of(*, serving: bool) -> FastAPI:
    """Returns all routes; without `serving`, probes and metrics only. They belong to no node: any may serve them."""
    app = FastAPI(
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},  # `duly.telemetry` does
        title="Duly",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    routers = (pages.files_router, *(API_ROUTERS if serving else ()), health.router)
    # Not `include_router`, which builds each route once more at the first request and matches two levels of them.
    app.router.routes.extend(route for router in routers for route in router.routes)
    add_document(app)
    documents = [route for route in app.routes if type(route) is Route]
    app.state.addresses = AddressTable([*routes_in(routers), *documents])
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
