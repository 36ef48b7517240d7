"""JSON responses and pages of lists, and the check of query parameters."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from duly.api.contract.error_responses import UNKNOWN_QUERY
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, PathError


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Returns a response with a JSON body."""
    return Response(body, status, headers, media_type="application/json")


def page_response(
    items: Sequence[object], *, next_cursor: str | None, headers: dict[str, str] | None = None
) -> Response:
    """Returns one page of a list."""
    return json_response(orjson.dumps({"items": items, "nextCursor": next_cursor}), headers=headers)


def time_or_none(moment: datetime | None) -> str | None:
    """Returns a time in RFC 3339; None for None."""
    return rfc3339(moment) if moment is not None else None


def accepts_query(*names: str) -> Any:
    """Returns the dependency of a route that has these query parameters and refuses all others."""
    allowed = f"allowed: {', '.join(names)}" if names else "none is allowed here"

    async def refuse_others(request: Request) -> None:
        unknown = [name for name in request.query_params if name not in names]
        if unknown:
            raise Invalid.at([PathError(name, f"{UNKNOWN_QUERY}; {allowed}") for name in unknown])

    return Depends(refuse_others)
