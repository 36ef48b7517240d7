"""The application: the list of routers and the middleware around them."""

from functools import partial

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from duly import __version__
from duly.api.batches import batches
from duly.api.batches.batch_ndjson import SubmitLinesEndpoint
from duly.api.batches.batches import SubmitManyEndpoint, batches_router
from duly.api.contract.error_responses import as_duly_error, as_response
from duly.api.contract.responses import compressed
from duly.api.jobs.explain import why_router
from duly.api.jobs.job_logs import logs_router
from duly.api.jobs.jobs import SubmitEndpoint, jobs_router
from duly.api.jobs.list_jobs import listing_router
from duly.api.jobs.put_job import PREFIX, SubmitNamedEndpoint, named_router
from duly.api.jobs.retry_and_cancel import redriving_router
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.openapi import DESCRIPTION, add_document
from duly.api.queues.flow_control import flow_control_router
from duly.api.queues.job_types import job_types_router
from duly.api.queues.queues import queues_router
from duly.api.queues.submission_limits import intake_router
from duly.api.schedules.routes import schedules_router
from duly.api.server.access_lines import routes_in
from duly.api.server.allowed_methods import AddressTable
from duly.api.server.allowed_origins import SOCKET
from duly.api.server.health import health_router
from duly.api.server.middleware import BareEndpoints, RequestMiddleware
from duly.api.streams.job_events import events_router
from duly.api.streams.stream_tickets import tickets_router
from duly.api.streams.tenant_events import following_router
from duly.api.streams.websocket import SocketEndpoint
from duly.api.webhooks.deliveries import deliveries_router
from duly.api.webhooks.endpoints import webhooks_router
from duly.api.webhooks.replays import replays_router
from duly.errors import DulyError
from duly.node import Node
from duly.settings import Role
from duly.store.postgres.database import DatabaseError


def create_app(node: Node, routes: FastAPI | None = None) -> ASGIApp:
    """The ASGI application of one node.

    Args:
        node: what it serves.
        routes: those made before, see `routes_of`; None: made now, which takes a tenth of a second.
    """
    reader = reader_of(node)
    serving = Role.API in node.settings.roles  # the other roles have probes and metrics only
    routes = routes or routes_of(node, reader, serving=serving)
    return RequestMiddleware(
        routes,
        node=node,
        reader=reader,
        endpoints=_bare_endpoints(node, reader) if serving else BareEndpoints(),
        body_limits={batches.PATH: node.settings.batch_body_limit},
        addresses=routes.state.addresses,
    )


def _bare_endpoints(node: Node, reader: SubmissionReader) -> BareEndpoints:
    return BareEndpoints(
        hot={
            ("POST", "/api/v1/jobs"): SubmitEndpoint(node, reader),
            ("POST", batches.PATH): SubmitManyEndpoint(node, reader),
            ("PUT", PREFIX): SubmitNamedEndpoint(node, reader),
        },
        lines={batches.PATH: SubmitLinesEndpoint(node, reader)},
        sockets={SOCKET: SocketEndpoint(node, reader)},
    )


def reader_of(node: Node) -> SubmissionReader:
    """Makes the reader of submissions to this node."""
    return SubmissionReader(
        node.settings, node.registry, reach=node.settings.reach, keyring=node.keyring, clock=node.clock
    )


def routes_of(node: Node, reader: SubmissionReader, *, serving: bool) -> FastAPI:
    """All routes. They look at the node and the reader when they are asked, not before."""
    app = FastAPI(
        title="Duly",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    contract = (
        (
            batches_router(node, SubmitManyEndpoint(node, reader)),
            redriving_router(node),
            jobs_router(node, SubmitEndpoint(node, reader)),
            named_router(SubmitNamedEndpoint(node, reader)),
            listing_router(node),
            events_router(node),
            following_router(node),
            tickets_router(node, reader),
            logs_router(node),
            why_router(node),
            intake_router(node, reader),
            flow_control_router(node, reader),
            job_types_router(node),
            schedules_router(node, reader),
            webhooks_router(node, reader),
            deliveries_router(node),
            replays_router(node, reader),
            queues_router(node),
        )
        if serving
        else ()
    )
    routers = (*contract, health_router(node))
    for router in routers:
        app.include_router(router)
    add_document(app)
    pages = [route for route in app.routes if type(route) is Route]  # the document and the page that shows it
    app.state.addresses = AddressTable([*routes_in(routers), *pages])
    # Named one by one: what only `Exception` catches goes through Starlette's own handler, which raises it again.
    for kind in (HTTPException, RequestValidationError, ValidationError, DulyError, DatabaseError, Exception):
        app.add_exception_handler(kind, partial(_refused, node))
    app.add_middleware(compressed)
    return app


async def _refused(node: Node, request: Request, error: Exception) -> Response:
    """What is raised inside of FastAPI, in the shape of the contract."""
    failure = as_duly_error(error, request_id=request.scope["duly.request_id"])
    node.metrics.refused.labels(failure.code).inc()
    request.scope["duly.exchange"].code = failure.code
    return as_response(failure, accept=request.scope["duly.headers"].get(b"accept", b"").decode("latin-1"))
