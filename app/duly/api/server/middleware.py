"""Request middleware: checks of every request before its endpoint, in bare ASGI, and the response to every error."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duly.api.contract.compression import compressed
from duly.api.contract.error_responses import as_duly_error, as_response
from duly.api.server.access_lines import READING, REFUSED, Found, line_of, logged, made, plain
from duly.api.server.allowed_methods import AddressTable
from duly.api.server.allowed_origins import PREFLIGHT, Origins
from duly.api.server.authentication import Authentication
from duly.api.server.encoded_paths import refuse_encoded_slash, refuse_unreadable_query
from duly.api.server.exchange import RESPOND, Exchange
from duly.api.server.header_checks import check_fields, request_id_of
from duly.api.server.load_shedding import leave
from duly.api.server.ndjson_reader import ClientGone, are_lines, punctual, refuse_late
from duly.api.server.reverse_proxies import Proxies, with_prefix
from duly.api.server.scope_values import BODY, HEADERS, NODE, READER, header_text
from duly.api.server.websocket_authentication import WebSocketAuthentication
from duly.errors import BodyTooLarge
from duly.node import Node
from duly.telemetry.tracing import RequestSpans

# Bytes of an oversized body that are read, so that the client can read the error instead of a broken connection.
MOST_DISCARDED = 32 << 20


class BareEndpoints(NamedTuple):
    """ASGI endpoints that skip FastAPI.

    `hot`: by method and path; a path that ends in `/` stands for all paths one segment longer. `lines`: by path, for a
    POST of NDJSON, whose body the endpoint reads. `sockets`: WebSockets by path.
    """

    hot: Mapping[tuple[str, str], ASGIApp] = {}
    lines: Mapping[str, ASGIApp] = {}
    sockets: Mapping[str, ASGIApp] = {}


class RequestMiddleware:
    """Wraps the routes of FastAPI and the bare endpoints.

    Args:
        app: the routes of FastAPI.
        node: the node that serves the requests.
        reader: the reader of submissions, which endpoints find in the scope.
        endpoints: those that skip FastAPI.
        body_limits: bytes that a body may have, by path; elsewhere `DULY_BODY_LIMIT` holds.
        addresses: all addresses, with their methods.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        node: Node,
        reader: object,
        endpoints: BareEndpoints,
        body_limits: Mapping[str, int],
        addresses: AddressTable,
    ) -> None:
        self._app = app
        self._node = node
        self._shared = {NODE: node, READER: reader}
        self._endpoints = endpoints
        self._hot = endpoints.hot
        self._proxies = Proxies(node.settings)
        self._origins = Origins(node.settings, is_open=lambda: node.key_verifier.anyone is not None)
        self._authenticate = Authentication(node, addresses)
        self._websockets = WebSocketAuthentication(
            node, endpoints.sockets, origins=self._origins, authenticate=self._authenticate
        )
        self._body_limit = node.settings.body_limit
        self._body_limits = body_limits
        self._addresses = addresses
        self._access = node.access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request or WebSocket."""
        scope.update(self._shared)
        if scope["type"] != "http":
            self._proxies.see_through(scope)
            await self._websockets(scope, receive, send)
            return
        if self._proxies.any:
            self._proxies.see_through(scope)
        scope[HEADERS] = headers = dict(scope["headers"])
        request_id = request_id_of(headers)
        scope["duly.request_id"] = request_id.decode()
        scope["duly.exchange"] = exchange = Exchange(send, request_id, scope.get("root_path", ""))
        try:
            await self._serve(scope, headers, receive, exchange)
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001  # any error becomes a response, unless one has begun
            if not exchange.begun:
                await self._send_error(error, scope, receive, exchange)
        finally:
            leave(scope)
            # All refer to the scope: cycles would keep the garbage collector busy.
            del scope["duly.exchange"]
            exchange.later = None
            scope.pop(RESPOND, None)
            if exchange.trace is not None:
                self._end_trace(exchange.trace, scope, exchange)
            self._note(scope, exchange)

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, exchange: Exchange) -> None:
        """Checks a request, and passes it to its endpoint."""
        method, path = scope["method"], scope["path"]
        self._check_fields(scope, headers, exchange)
        if method == "OPTIONS":
            await self._options(scope, exchange)(scope, receive, exchange.send)
            return
        await self._authenticate(scope, headers)
        refuse_encoded_slash(scope)
        if scope["query_string"]:
            refuse_unreadable_query(scope["query_string"])
        lines = self._endpoints.lines.get(path)
        if lines is not None and method == "POST" and are_lines(headers):
            await lines(scope, punctual(scope, receive), exchange.send)
            return
        app = self._app_for(method, path)
        inner = with_prefix(self._addresses.routed(scope)) if app is self._app else scope
        if method in {"POST", "PUT", "PATCH"}:
            limit = self._body_limits.get(path, self._body_limit)
            inner[BODY] = body = await _read(scope, receive, limit=limit)
            if app is self._app:
                receive = _replay(body, receive)
        if app is not self._app:
            await app(inner, receive, exchange.send)
            return
        exchange.sends_later = True
        await app(inner, receive, exchange.send)
        if exchange.later is not None:
            await exchange.later(receive, exchange.send)

    async def _send_error(self, error: Exception, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        failure = as_duly_error(error, request_id=scope["duly.request_id"])
        self._node.metrics.refused.labels(failure.code).inc()
        exchange.code = failure.code
        response = as_response(failure, accept=header_text(scope, b"accept"))
        await compressed(response)(scope, receive, exchange.send)

    def _check_fields(self, scope: Scope, headers: dict[bytes, bytes], exchange: Exchange) -> None:
        """Refuses, before authentication: pages of other sites, repeated fields, compressed content."""
        self._origins.check(scope, headers)
        exchange.also = self._origins.headers_for(scope, headers)
        if len(headers) < len(scope["headers"]) or b"content-encoding" in headers:
            check_fields(scope["method"], headers, scope["headers"])

    def _options(self, scope: Scope, exchange: Exchange) -> Response:
        refuse_encoded_slash(scope)
        return Response(status_code=204) if PREFLIGHT in exchange.also else self._addresses.options(scope)

    def _end_trace(self, trace: RequestSpans, scope: Scope, exchange: Exchange) -> None:
        """Ends the spans of a request that submits jobs."""
        method, (route, _), seconds = scope["method"], self._route_of(scope), time.perf_counter() - exchange.began
        trace.end(method=method, route=route, status=exchange.status, code=exchange.code, seconds=seconds)

    def _note(self, scope: Scope, exchange: Exchange) -> None:
        """Writes a request that failed or may have changed something to the access log."""
        method = scope["method"]
        if not self._access.on or (method in READING and (exchange.status or 0) < REFUSED):
            return
        pattern, names = self._route_of(scope)
        if exchange.location is not None:
            names = {**names, **made(exchange.location)} if names else made(exchange.location)
        if exchange.trace is not None:
            names = {**names, "traceId": exchange.trace.trace_id}
        found, status, code = (pattern, names), exchange.status, exchange.code
        self._access.put(line_of(scope, found, method=method, status=status, code=code, began=exchange.began))

    def _route_of(self, scope: Scope) -> Found:
        if (route := scope.get("route")) is not None:
            return plain(route.path), logged(scope["path_params"])
        if (scope["method"], scope["path"]) in self._hot:
            return scope["path"], {}
        return self._addresses.find(scope["path"])

    def _app_for(self, method: str, path: str) -> ASGIApp:
        if (hot := self._hot.get((method, path))) is not None:
            return hot
        below = self._hot.get((method, path[: path.rfind("/") + 1]))
        return self._app if below is None or path in self._addresses.literal else below


async def _read(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """Returns the whole body.

    Raises:
        ClientGone: the client disconnected before its end.
        RequestTimeout: it arrived too slowly.
        BodyTooLarge: it has more than `limit` bytes.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        refuse_late(scope)
        body = await _read_on(body, punctual(scope, receive), limit)
    elif message["type"] != "http.request":
        raise ClientGone
    if len(body) > limit:
        raise BodyTooLarge(
            f"Body too large (limit: {limit:,} bytes).",
            reason="Send large inputs by reference, for example as a URL in the parameters.",
        )
    return body


async def _read_on(first: bytes, receive: Receive, limit: int) -> bytes:
    pieces, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size <= limit:
            pieces.append(piece)
        more = message.get("more_body", False) and size < MOST_DISCARDED
    return b"".join(pieces) if size <= limit else bytes(limit + 1)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns a channel with the body that was read, then the messages of the real one, such as a disconnect."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
