"""Pages of a list that lives in several cells, merged into the page that one database would return.

The position of a page is a key of its items, not a place in a cell, so a cursor is valid in every cell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

Item = TypeVar("Item")
Key = TypeVar("Key", UUID, str)
CELLS_AWAY: Final = "Duly-Cells-Away"


class Page(NamedTuple, Generic[Item, Key]):
    """Items in the order of the list. The next page begins after `reached`; None: this is the last page."""

    items: Sequence[Item]
    reached: Key | None


def first_page(found: Sequence[Item], *, limit: int, key: Callable[[Item], Key]) -> Page[Item, Key]:
    """Returns the page of these items, of which there is one beyond the limit if more follow."""
    return Page(found[:limit], key(found[limit - 1]) if len(found) > limit else None)


def merged_page(
    pages: Iterable[Page[Item, Key]],
    *,
    limit: int,
    key: Callable[[Item], Key],
    newest_first: bool = True,
    combine: Callable[[Sequence[Item]], Item] | None = None,
) -> Page[Item, Key]:
    """Returns the page that follows the same position in all cells.

    A cell that has more, or was not searched to its end, says up to where its page is complete. Items beyond the first
    of these positions are left for the next page: something may come before them.

    Args:
        newest_first: the list is in descending order of its keys.
        combine: joins the items of several cells that have the same key.
    """
    known = list(pages)
    if len(known) == 1:
        return known[0]
    ends = [page.reached for page in known if page.reached is not None]
    end = None if not ends else max(ends) if newest_first else min(ends)
    groups: dict[Key, list[Item]] = {}
    for page in known:
        for item in page.items:
            groups.setdefault(key(item), []).append(item)
    keys = sorted((each for each in groups if end is None or _precedes(each, end, newest_first)), reverse=newest_first)
    shown = keys[:limit]
    items = [_one(groups[each], combine) for each in shown]
    return Page(items, shown[-1] if len(keys) > limit else end)


def interleaved(
    lists: Mapping[int, Sequence[Item]], *, limit: int, at: Callable[[Item], datetime]
) -> list[tuple[int, Item]]:
    """Returns the newest items of several lists, each in its own order, with the number of their list."""
    numbered = ([(number, item) for item in items] for number, items in lists.items())
    return list(islice(merge(*numbered, key=lambda each: at(each[1]), reverse=True), limit))


def _precedes(key: Key, end: Key, newest_first: bool) -> bool:  # noqa: FBT001  # as in the list
    return key >= end if newest_first else key <= end


def _one(items: Sequence[Item], combine: Callable[[Sequence[Item]], Item] | None) -> Item:
    return items[0] if combine is None or len(items) == 1 else combine(items)


def away_members(away: Sequence[int]) -> Mapping[str, Any]:
    """Returns the members of a response that lacks what these cells have; none if it is complete."""
    return {"incomplete": True, "cellsAway": list(away)} if away else {}


def away_headers(away: Sequence[int]) -> dict[str, str]:
    """Returns the headers of such a response."""
    return {CELLS_AWAY: ", ".join(map(str, away))} if away else {}
