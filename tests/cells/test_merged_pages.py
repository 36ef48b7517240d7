"""Merged pages are those of one database, however the items are distributed over cells."""

from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from duly.api.contract.merged_pages import Page, away_headers, away_members, first_page, merged_page

IDS = st.integers(0, 60).map(lambda number: UUID(int=number << 8))
DISTRIBUTIONS = st.dictionaries(IDS, st.integers(0, 3), max_size=40)


def own(item: UUID) -> UUID:
    return item


def page_after(
    items: Sequence[UUID], position: UUID | None, *, limit: int, stop: UUID | None = None
) -> Page[UUID, UUID]:
    """Returns a page of a list in descending order; `stop`: the search ends there for now."""
    following = sorted((item for item in items if position is None or item < position), reverse=True)
    seen = [item for item in following if stop is None or item >= stop]
    page = first_page(seen, limit=limit, key=own)
    if stop is None or page.reached is not None or (position is not None and stop >= position):
        return page if stop is None or page.reached is not None else first_page(following, limit=limit, key=own)
    return Page(page.items, stop)


def walk(cells: Sequence[Sequence[UUID]], *, limit: int, stops: Sequence[UUID | None]) -> list[list[UUID]]:
    """Returns the pages of the merged list, from the first to the last."""
    pages, position = [], None
    for _ in range(1_000):
        parts = [page_after(cell, position, limit=limit, stop=stop) for cell, stop in zip(cells, stops, strict=True)]
        items, reached = merged_page(parts, limit=limit, key=own)
        pages.append(list(items))
        if reached is None:
            return pages
        assert position is None or reached < position, "the list does not go on"
        position = reached
    raise AssertionError("the list does not end")


@given(DISTRIBUTIONS, st.integers(1, 7))
def test_merged_pages_are_those_of_one_database(homes: dict[UUID, int], limit: int) -> None:
    cells = [[item for item, home in homes.items() if home == number] for number in range(4)]
    assert walk(cells, limit=limit, stops=[None] * 4) == walk([list(homes)], limit=limit, stops=[None])


@given(DISTRIBUTIONS, st.integers(1, 7), st.lists(st.none() | IDS, min_size=4, max_size=4))
def test_searches_that_end_early_lose_and_repeat_nothing(
    homes: dict[UUID, int], limit: int, stops: list[UUID | None]
) -> None:
    cells = [[item for item, home in homes.items() if home == number] for number in range(4)]
    pages = walk(cells, limit=limit, stops=stops)
    assert [item for page in pages for item in page] == sorted(homes, reverse=True)


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9)), max_size=4), st.integers(1, 4))
def test_items_of_the_same_key_are_joined_on_one_page(cells: list[dict[str, int]], limit: int) -> None:
    shown: dict[str, int] = {}
    after = ""
    for _ in range(20):
        parts = []
        for cell in cells:
            following = sorted(pair for pair in cell.items() if pair[0] > after)
            parts.append(first_page(following, limit=limit, key=lambda pair: pair[0]))
        items, reached = merged_page(
            parts,
            limit=limit,
            key=lambda pair: pair[0],
            newest_first=False,
            combine=lambda pairs: (pairs[0][0], sum(number for _, number in pairs)),
        )
        assert not shown.keys() & dict(items).keys()
        shown.update(items)
        if reached is None:
            break
        after = reached
    names = sorted({name for cell in cells for name in cell})
    assert shown == {name: sum(cell.get(name, 0) for cell in cells) for name in names}


def test_only_an_incomplete_response_says_which_cells_are_away() -> None:
    assert (away_members([]), away_headers([])) == ({}, {})
    assert away_members([1, 3]) == {"incomplete": True, "cellsAway": [1, 3]}
    assert away_headers([1, 3]) == {"Duly-Cells-Away": "1, 3"}
