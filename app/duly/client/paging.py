"""Lists of the service, read page by page."""

from typing import Any

from duly.client.request import Query, get
from duly.client.sending import call
from duly.client.steps import Item, Items

_PAGE_ITEMS = 200


def items_of(path: str, query: Query | None = None) -> Items[Any]:
    """Yields the items of a list, reading the next page once it is needed."""
    page: dict[str, Any] = {"nextCursor": None}
    while True:
        page = yield from call(get(path, {"limit": _PAGE_ITEMS, **(query or {}), "cursor": page["nextCursor"]}))
        for item in page["items"]:
            yield Item(item)
        if not page.get("nextCursor"):
            return
