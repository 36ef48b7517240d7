"""Pages and their files: `/ui` and everything below it, `/docs`, and the redirect of browsers from `/`."""

from functools import cache
from typing import Final

import orjson
from fastapi import APIRouter, Request, Response

from duly.api.contract.responses import json_response
from duly.api.dashboard.assets import PREFIX, STATIC, Asset, dashboard_assets
from duly.api.server.scope_values import header_text
from duly.api.server.security_headers import POLICY_OF_DASHBOARD, POLICY_OF_DOCS
from duly.domain.negotiation import Gzip, gzip_use
from duly.errors import NotFound

_HTML: Final = "text/html; charset=utf-8"
_A_YEAR: Final = "public, max-age=31536000, immutable"
router = APIRouter(include_in_schema=False)
files_router = APIRouter(include_in_schema=False)


@router.get("/ui")
async def show_dashboard(request: Request) -> Response:
    """Returns the page of the dashboard. It is the same for every address: a script shows the view."""
    return _page(request, "index.html", POLICY_OF_DASHBOARD)


@router.get("/ui/{path:path}")
async def show_view(request: Request, path: str) -> Response:
    """Returns the page of the dashboard, for a link to one of its views."""
    if path == "assets" or path.startswith("assets/"):
        raise NotFound("Not found.")
    return _page(request, "index.html", POLICY_OF_DASHBOARD)


@router.get("/")
async def show_start(request: Request) -> Response:
    """Redirects a browser to the dashboard; lists the addresses of the service for any other client."""
    root = _root(request)
    headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
    if "text/html" in header_text(request, b"accept"):
        return Response(status_code=307, headers={**headers, "Location": f"{root}/ui"})
    links = {"dashboard": f"{root}/ui", "documentation": f"{root}/docs", "openapi": f"{root}/openapi.json"}
    return json_response(orjson.dumps({"name": "Duly", "api": f"{root}/api/v1", **links}), headers=headers)


@files_router.get("/docs")
async def show_docs(request: Request) -> Response:
    """Returns the page of the API, which shows the OpenAPI document in Swagger UI."""
    return _page(request, "docs.html", POLICY_OF_DOCS)


@files_router.get(PREFIX + "/{digest}/{name:path}")
async def read_asset(request: Request, digest: str, name: str) -> Response:
    """Returns a file. One of another release, as during an upgrade, is not kept by browsers."""
    assets = dashboard_assets()
    asset = assets.files.get(name)
    if asset is None:
        raise NotFound("Not found.")
    headers = {"Cache-Control": _A_YEAR if digest == assets.digest else "no-cache", "ETag": f'"{asset.digest}"'}
    if f'"{asset.digest}"' in header_text(request, b"if-none-match"):
        return Response(status_code=304, headers=headers)
    return _content(request, asset, headers)


def _content(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    """Returns the response with a file, compressed once for all requests."""
    body = asset.content
    headers["Vary"] = "Accept-Encoding"
    if gzip_use(header_text(request, b"accept-encoding") or None) is not Gzip.NEVER and asset.gzipped is not None:
        body, headers["Content-Encoding"] = asset.gzipped, "gzip"
    return Response(body, headers=headers, media_type=asset.media_type)


def _page(request: Request, name: str, policy: str) -> Response:
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    return Response(_html(name, _root(request)), headers=headers, media_type=_HTML)


@cache
def _template(name: str) -> str:
    return (STATIC / name).read_text()


def _html(name: str, root: str) -> str:
    """Returns a page with the URLs of its files, which are relative in its source, and with the prefix of others."""
    files = dashboard_assets().url("", root=root)
    return _template(name).replace('="/', f'="{root}/').replace('="./', f'="{files}')


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root
