"""Changed sources are noticed and imported again; what cannot be imported leaves everything as it was."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from duly.handlers.discovery import load_registry
from duly.handlers.exceptions import HandlerError
from duly.handlers.registry import Registry
from duly.handlers.reloading import HandlerSource

JOBS = """
from duly import Handlers
from reloaded_shop import prices

handlers = Handlers()

@handlers.register("{name}")
async def price() -> int:
    return prices.PRICE
"""


class Shop(NamedTuple):
    """Package of a user: `jobs.py` with a handler, and `prices.py`, which it imports."""

    folder: Path
    source: HandlerSource

    def write(self, name: str, text: str) -> Path:
        """Writes a module, as an editor does that replaces the file."""
        path = self.folder / f"{name}.py"
        draft = path.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(path)
        return path

    def changed(self) -> list[Path]:
        """Returns the changed files, which are reported by the second look."""
        assert self.source.changed() == []
        return self.source.changed()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "reloaded_shop"
    folder.mkdir()
    load: Callable[[], Registry] = lambda: load_registry(["reloaded_shop.jobs"])  # noqa: E731
    made = Shop(folder, HandlerSource(load))
    made.write("__init__", "")
    made.write("jobs", JOBS.format(name="price"))
    made.write("prices", "PRICE = 1\n")
    yield made
    for name in [name for name in sys.modules if name.startswith("reloaded_shop")]:
        del sys.modules[name]


async def price_of(registry: Registry, name: str = "price") -> int:
    price: int = await registry[name].function()
    return price


async def test_a_change_of_an_imported_module_is_noticed_once_and_reloaded(shop: Shop) -> None:
    assert await price_of(shop.source.load()) == 1
    assert shop.changed() == []
    changed = shop.write("prices", "PRICE = 2\n")
    assert shop.changed() == [changed]
    assert await price_of(shop.source.reload([changed])) == 2
    assert shop.changed() == []


async def test_two_changes_within_a_second_are_both_seen_although_a_cached_file_hides_them(shop: Shop) -> None:
    """Python compares the time of a source with its cached file in whole seconds."""
    sys.dont_write_bytecode = False
    path = shop.write("prices", "PRICE = 1\n")
    os.utime(path, ns=(10**18, 10**18))
    __import__("reloaded_shop.prices")
    del sys.modules["reloaded_shop.prices"], sys.modules["reloaded_shop"]
    shop.source.load()
    changed = shop.write("prices", "PRICE = 2\n")
    os.utime(changed, ns=(10**18 + 1, 10**18 + 1))
    assert shop.changed() == [changed]
    assert await price_of(shop.source.reload([changed])) == 2


async def test_a_syntax_error_is_named_with_file_and_line_and_leaves_the_previous_modules(shop: Shop) -> None:
    before = shop.source.load()
    modules = {name: sys.modules[name] for name in ("reloaded_shop", "reloaded_shop.jobs", "reloaded_shop.prices")}
    changed = shop.write("prices", "PRICE = 2\ndef broken(:\n")
    assert shop.changed() == [changed]
    with pytest.raises(HandlerError, match=rf"SyntaxError: .* \({changed}, line 2\)"):
        shop.source.reload([changed])
    assert await price_of(before) == 1
    assert {name: sys.modules[name] for name in modules} == modules
    assert shop.changed() == []
    mended = shop.write("prices", "PRICE = 3\n")
    assert shop.changed() == [mended]
    assert await price_of(shop.source.reload([mended])) == 3


async def test_a_module_that_was_missing_is_noticed_when_it_is_written(shop: Shop) -> None:
    shop.source.load()
    changed = shop.write("prices", "from reloaded_shop.discounts import PRICE\n")
    assert shop.changed() == [changed]
    with pytest.raises(HandlerError, match=r"No module named 'reloaded_shop.discounts' \(.*prices\.py, line 1\)"):
        shop.source.reload([changed])
    written = shop.write("discounts", "PRICE = 4\n")
    assert shop.changed() == [written]
    assert await price_of(shop.source.reload([written])) == 4
    assert shop.changed() == []


async def test_a_file_that_no_handler_imports_is_not_watched(shop: Shop) -> None:
    shop.source.load()
    shop.write("notes", "x = 1\n")
    assert shop.changed() == []


async def test_a_new_name_of_a_type_replaces_the_old_one(shop: Shop) -> None:
    registry = shop.source.load()
    changed = shop.write("jobs", JOBS.format(name="discount"))
    registry.replace(shop.source.reload([changed]))
    assert sorted(registry) == ["discount", "echo", "http.request", "sleep"]
    assert await price_of(registry, "discount") == 1


async def test_a_file_that_is_still_written_is_reported_only_when_it_is_complete(shop: Shop) -> None:
    shop.source.load()
    path = shop.folder / "prices.py"
    for text in ("", "PRICE =", "PRICE = 5\n"):
        path.write_text(text)
        assert shop.source.changed() == []
        assert shop.source.noticed
    assert shop.source.changed() == [path]
    assert not shop.source.noticed
