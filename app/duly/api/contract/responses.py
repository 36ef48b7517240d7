"""JSON responses and pages of lists, and the check of query parameters."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from duly.api.contract.error_responses import UNKNOWN_QUERY
from duly.api.contract.merged_pages import away_headers, away_members
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, PathError


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Returns a response with a JSON body."""
    return Response(body, status, headers, media_type="application/json")


def page_response(
    items: Sequence[object], *, next_cursor: str | None, headers: dict[str, str] | None = None, away: Sequence[int] = ()
) -> Response:
    """Returns one page of a list, which lacks the items of the cells that are `away`."""
    return merged_response({"items": items, "nextCursor": next_cursor}, headers=headers, away=away)


def merged_response(
    members: Mapping[str, object], *, headers: Mapping[str, str] | None = None, away: Sequence[int] = ()
) -> Response:
    """Returns what the cells have together; that of the cells that are `away` is missing."""
    body = orjson.dumps({**members, **away_members(away)})
    return json_response(body, headers={**(headers or {}), **away_headers(away)})


def time_or_none(moment: datetime | None) -> str | None:
    """Returns a time in RFC 3339; None for None."""
    return rfc3339(moment) if moment is not None else None


def accepts_query(*names: str) -> Any:
    """Returns the dependency of a route that has these query parameters and refuses all others."""

    async def refuse_others(request: Request) -> None:
        refuse_query(request, names)

    return Depends(refuse_others)


def refuse_query(request: Request, names: Sequence[str] = ()) -> None:
    """Refuses query parameters other than these.

    Raises:
        Invalid: there are some.
    """
    allowed = f"allowed: {', '.join(names)}" if names else "none is allowed here"
    unknown = [name for name in request.query_params if name not in names]
    if unknown:
        raise Invalid.at([PathError(name, f"{UNKNOWN_QUERY}; {allowed}") for name in unknown])
