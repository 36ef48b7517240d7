"""Reloads handlers while a service runs: notices changed source files, and imports their modules again."""

import importlib
import importlib.util
import linecache
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeAlias

from duly.handlers.registry import Registry

_LIBRARIES = frozenset({"site-packages", "dist-packages"})
_DULY = Path(__file__).parents[1]


class FileState(NamedTuple):
    """State of a file, which differs after each write and after the file was replaced."""

    modified: int
    size: int
    inode: int


Snapshot: TypeAlias = Mapping[Path, FileState | None]


class HandlerSource:
    """The source files of a user's handlers, and the registry made of them.

    Create it before the handlers are imported: modules that are loaded by then are never reloaded, nor are installed
    packages. All other modules are, including those that a handler imports when it runs.

    Args:
        load: imports the handler modules, and returns their registry.
    """

    def __init__(self, load: Callable[[], Registry]) -> None:
        self._load = load
        self._before = frozenset(sys.modules)
        self._seen: Snapshot = {}
        self._noticed: Snapshot | None = None
        self._failed_in: frozenset[Path] = frozenset()

    def load(self) -> Registry:
        """Imports the handlers, and notes their files.

        Raises:
            HandlerError: they cannot be used.
        """
        # Python knows the age of a cached module in seconds only: of two changes in one second it would miss one.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # for child processes
        registry = self._load()
        self._seen = self._look()
        return registry

    def changed(self) -> list[Path]:
        """Returns the files that have changed since they were loaded, once two calls in a row see the same state: a
        file may still be written.

        After a failure, new files beside the loaded ones count too: the missing one may be among them.
        """
        now = self._look()
        changed = [path for path in {*now, *self._seen} if now.get(path) != self._seen.get(path)]
        if changed and now == self._noticed:
            self._seen, self._noticed = now, None
            return sorted(changed)
        self._noticed = now if changed else None
        return []

    @property
    def noticed(self) -> bool:
        """True if a change was seen once."""
        return self._noticed is not None

    def reload(self, changed: Iterable[Path]) -> Registry:
        """Imports all modules of the user again. If that fails, the previous modules stay.

        Raises:
            HandlerError: they cannot be used. The message names file and line.
        """
        _forget_bytecode(changed)
        before = self._own_modules()
        _remove(before)
        importlib.invalidate_caches()
        self._failed_in = frozenset()
        try:
            return self._load()
        except BaseException as error:
            tried = self._own_modules()
            self._failed_in = frozenset(path.parent for path in {*_sources(tried), *_files_of(error)})
            _remove(tried)
            sys.modules.update(before)
            raise
        finally:
            linecache.checkcache()
            # A file that was written meanwhile counts as changed: its state is the one from before the import.
            self._seen = {path: self._seen.get(path, state) for path, state in self._look().items()}

    def _own_modules(self) -> dict[str, ModuleType]:
        """Returns the modules of the user, by name."""
        names = [name for name in sys.modules if name not in self._before and name.partition(".")[0] != "duly"]
        return {name: sys.modules[name] for name in names if _source(sys.modules[name]) is not None}

    def _look(self) -> Snapshot:
        """Returns the state of all watched files."""
        files = set(_sources(self._own_modules()))
        folders = self._failed_in | {path.parent for path in files} if self._failed_in else ()
        return {path: _state(path) for path in {*files, *(file for each in folders for file in each.glob("*.py"))}}


def _remove(modules: Iterable[str]) -> None:
    for name in modules:
        sys.modules.pop(name, None)


def _forget_bytecode(changed: Iterable[Path]) -> None:
    for path in changed:
        with suppress(OSError, NotImplementedError):
            Path(importlib.util.cache_from_source(str(path))).unlink()


def _sources(modules: Mapping[str, ModuleType]) -> list[Path]:
    return [path for module in modules.values() if (path := _source(module)) is not None]


def _source(module: ModuleType) -> Path | None:
    """Returns the source file of a module; None for an installed, built-in or compiled one."""
    file = getattr(module, "__file__", None)
    return _own_file(file) if isinstance(file, str) else None


@lru_cache(maxsize=20_000)
def _own_file(file: str) -> Path | None:
    path = Path(file)
    installed = not _LIBRARIES.isdisjoint(path.parts) or path.is_relative_to(sysconfig.get_path("stdlib"))
    return path if path.suffix == ".py" and not installed else None


def _files_of(error: BaseException | None) -> list[Path]:
    """Returns the user's files in which an import failed."""
    names: list[str] = []
    while error is not None:
        names += [error.filename] if isinstance(error, SyntaxError) and error.filename else []
        names += [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        error = error.__cause__
    return [path for name in names if (path := _own_file(name)) is not None and not path.is_relative_to(_DULY)]


def _state(path: Path) -> FileState | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return FileState(facts.st_mtime_ns, facts.st_size, facts.st_ino)
