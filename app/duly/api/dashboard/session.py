"""`/ui/session`: signs the dashboard in by an API key, into a cookie that no script can read.

Changes nothing in the database. The cookie is signed by the keyring that all nodes share, so it is valid on each of
them and after a restart, for as long as its key is.
"""

from datetime import UTC, datetime
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, SecretStr

from duly import __version__
from duly.api.contract.responses import json_response
from duly.api.jobs.submission_reader import read_body
from duly.api.server.allowed_origins import from_foreign_page
from duly.api.server.dashboard_cookie import COOKIE, principal_of_session, session_of
from duly.api.server.key_hold import invalid_key
from duly.api.server.scope_values import PRINCIPAL, header_text, headers_of, node_of
from duly.domain.dashboard_session import SESSION_SECONDS, DashboardSession, write_session
from duly.domain.key_scope import ordered
from duly.domain.principal import SETTINGS_KEY, Principal
from duly.domain.timestamps import rfc3339
from duly.errors import Forbidden, Unauthorized
from duly.store.access.api_keys import find_keys

PATH: Final = "/ui/session"
router = APIRouter(include_in_schema=False)


class SignIn(BaseModel):
    """API key to sign in with."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    key: SecretStr


@router.post(PATH)
async def sign_in(request: Request) -> Response:
    """Starts a session with an API key.

    Raises:
        Unauthorized: the key is unknown, wrong, expired or revoked.
    """
    _refuse_foreign(request)
    verifier = node_of(request).key_verifier
    presented = read_body(request, SignIn).key.get_secret_value().strip().encode()
    principal = verifier.recognised(presented) or await verifier.verify(presented)
    if principal is None or principal.key_id is None:
        raise invalid_key()
    request.scope[PRINCIPAL] = principal
    expires_at = int(node_of(request).clock.seconds() + SESSION_SECONDS)
    session = DashboardSession(principal.key_id, verifier.digest_of(presented), expires_at)
    return await _answer(request, principal, session, renew=True)


@router.get(PATH)
async def read_session(request: Request) -> Response:
    """Returns the tenant and the scopes of the session, and renews it in its second half."""
    node = node_of(request)
    if (anyone := node.key_verifier.anyone) is not None:
        return await _answer(request, anyone, None)
    session = session_of(node, request.scope, headers_of(request))
    if session is None:
        return _signed_out(request)
    try:
        principal = await principal_of_session(node, session)
    except Unauthorized:
        return _signed_out(request)
    now = node.clock.seconds()
    if renew := session.expires_at - now < SESSION_SECONDS / 2:
        session = session._replace(expires_at=int(now + SESSION_SECONDS))
    return await _answer(request, principal, session, renew=renew)


@router.delete(PATH)
async def sign_out(request: Request) -> Response:
    """Ends the session in this browser."""
    _refuse_foreign(request)
    return Response(status_code=204, headers={"Set-Cookie": _cookie(request, "", seconds=0)})


def _refuse_foreign(request: Request) -> None:
    if from_foreign_page(headers_of(request)):
        raise Forbidden("Cross-site requests are not allowed.", reason="Sign in and out on the page of the dashboard.")


async def _answer(
    request: Request, principal: Principal, session: DashboardSession | None, *, renew: bool = False
) -> Response:
    body = {
        "signedIn": True,
        "open": session is None,
        "tenant": principal.tenant,
        "scopes": ordered(principal.scopes),
        "keyId": principal.key_id,
        "keyName": await _name_of_key(request, principal),
        "expiresAt": rfc3339(datetime.fromtimestamp(session.expires_at, UTC)) if session is not None else None,
        "version": __version__,
    }
    headers = {"Cache-Control": "no-store"}
    if session is not None and renew:
        token = write_session(session, node_of(request).keyring)
        headers["Set-Cookie"] = _cookie(request, token, seconds=SESSION_SECONDS)
    return json_response(orjson.dumps(body), headers=headers)


def _signed_out(request: Request) -> Response:
    """Returns the response without a session; a cookie that is not valid any more is deleted."""
    headers = {"Cache-Control": "no-store"}
    if COOKIE in headers_of(request).get(b"cookie", b""):
        headers["Set-Cookie"] = _cookie(request, "", seconds=0)
    body: dict[str, Any] = {"signedIn": False, "open": False, "tenant": None, "scopes": [], "version": __version__}
    return json_response(orjson.dumps(body), headers=headers)


async def _name_of_key(request: Request, principal: Principal) -> str | None:
    if principal.key_id is None or principal.key_id == SETTINGS_KEY:
        return principal.key_id
    async with node_of(request).database.connection() as connection:
        stored = (await find_keys(connection, [principal.key_id])).get(principal.key_id)
    return stored.rights.name if stored is not None else None


def _cookie(request: Request, token: str, *, seconds: int) -> str:
    """Returns a cookie for the service's own pages. The page's origin tells its scheme even behind a proxy that
    terminates TLS and is not trusted.
    """
    secure = request.scope["scheme"] == "https" or header_text(request, b"origin").startswith("https://")
    return (
        f"{COOKIE.decode()}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    )
