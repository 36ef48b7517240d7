"""Stream tickets in requests: each opens one stream or socket, once."""

import hashlib
from secrets import token_urlsafe
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from duly.api.server.allowed_origins import SOCKET, STREAMS
from duly.domain.ticket_grant import Grant
from duly.errors import Unauthorized
from duly.store.ledger.stream_tickets import redeem
from duly.store.postgres.database import Database

VALID_SECONDS = 60.0
_MEMBER = b"ticket="


def take_ticket(scope: Scope) -> bytes | None:
    """Returns the ticket of a request for a stream, and removes it from the query, so that it is logged nowhere."""
    path = scope["path"]
    if scope.get("method", "GET") != "GET" or not (path == SOCKET or STREAMS.fullmatch(path)):
        return None
    members = scope["query_string"].split(b"&")
    tickets = [member for member in members if member.startswith(_MEMBER)]
    if not tickets:
        return None
    scope["query_string"] = b"&".join(member for member in members if not member.startswith(_MEMBER))
    return unquote_to_bytes(tickets[-1].removeprefix(_MEMBER))


def new_ticket(number: int, count: int) -> str:
    """Makes the text of a ticket that is redeemed in this cell."""
    while True:
        ticket = token_urlsafe(32)
        if cell_of_ticket(ticket.encode(), count) == number:
            return ticket


def cell_of_ticket(ticket: bytes, count: int) -> int:
    """Returns the number of the cell in which a ticket is redeemed, wherever its stream is."""
    return ticket_digest(ticket)[-1] % count


async def use_ticket(database: Database, ticket: bytes) -> tuple[int, Grant]:
    """Redeems a ticket. Returns its tenant and its rights.

    Raises:
        Unauthorized: it is unknown, used or expired.
    """
    async with database.connection() as connection:
        redeemed = await redeem(connection, ticket_digest(ticket))
    if redeemed is None:
        raise invalid_ticket()
    tenant_id, opens = redeemed
    return tenant_id, Grant.read(opens)


def invalid_ticket() -> Unauthorized:
    """Returns the error for a ticket that is unknown, used or expired, or whose key is no longer valid."""
    return Unauthorized(
        "Invalid stream ticket.",
        reason="A ticket is valid once, within 60 s. Request another: POST /api/v1/stream-tickets.",
    )


def ticket_digest(ticket: bytes) -> bytes:
    """Returns the digest under which a ticket is stored.

    It differs from that of the previous release, whose nodes would accept the ticket for the tenant `default` and show
    every payload.
    """
    return hashlib.sha256(b"stream ticket of a key\x00" + ticket).digest()
