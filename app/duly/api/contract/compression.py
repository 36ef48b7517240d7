"""Compression of responses."""

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duly.domain.entity_tags import weak
from duly.domain.negotiation import Gzip, gzip_use

LEAST_GZIPPED = 1024


def compressed(app: ASGIApp) -> ASGIApp:
    """Wraps an application to gzip responses over 1 KiB if the client accepts it, and smaller ones if it accepts
    nothing else. Event streams are never compressed.
    """

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_weak(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                if "content-encoding" in headers and "etag" in headers:
                    headers["etag"] = weak(headers["etag"])
            await send(message)

        accepted = scope["duly.headers"].get(b"accept-encoding")
        match gzip_use(accepted.decode("latin-1") if accepted else None):
            case Gzip.NEVER:
                responder: ASGIApp = IdentityResponder(app, LEAST_GZIPPED)
            case Gzip.WHERE_LARGE:
                responder = GZipResponder(app, LEAST_GZIPPED, compresslevel=5)
            case Gzip.ALWAYS:
                responder = GZipResponder(app, 1, compresslevel=5)
        await responder(scope, receive, send_weak)

    return respond
