"""Stream tickets: taken out of a request's address, and used up once."""

import hashlib
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from duly.api.server.allowed_origins import SOCKET, STREAMS
from duly.domain.grant import Grant
from duly.errors import Unauthorized
from duly.store.ledger.stream_tickets import redeem
from duly.store.postgres.database import Database

VALID_SECONDS = 60.0
_MEMBER = b"ticket="


def take_ticket(scope: Scope) -> bytes | None:
    """Returns the ticket that a request for a stream names. It is taken out of the address, so that nothing shows it
    later.
    """
    path = scope["path"]
    if scope.get("method", "GET") != "GET" or not (path == SOCKET or STREAMS.fullmatch(path)):
        return None
    members = scope["query_string"].split(b"&")
    tickets = [member for member in members if member.startswith(_MEMBER)]
    if not tickets:
        return None
    scope["query_string"] = b"&".join(member for member in members if not member.startswith(_MEMBER))
    return unquote_to_bytes(tickets[-1].removeprefix(_MEMBER))


async def use_ticket(database: Database, ticket: bytes) -> Grant:
    """Uses a ticket up. Returns what it opens.

    Raises:
        Unauthorized: it is none, or was used, or is too old.
    """
    async with database.connection() as connection:
        opens = await redeem(connection, ticket_digest(ticket))
    if opens is None:
        raise Unauthorized(
            "This ticket is not valid, or not any more.",
            reason="A ticket is good once, and for 60 s; ask for another: POST /api/v1/stream-tickets.",
        )
    return Grant.read(opens)


def ticket_digest(ticket: bytes) -> bytes:
    """Nodes of the release before take any ticket whose plain digest they find for one that opens everything: they
    do not find this one.
    """
    return hashlib.sha256(b"stream ticket\x00" + ticket).digest()
