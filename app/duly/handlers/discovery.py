"""Discovery of handlers in the modules of the settings and in entry points of installed packages."""

import importlib
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING

from duly.domain.builtin_types import BUILTIN_TYPES
from duly.handlers.exceptions import HandlerError
from duly.handlers.registry import Handlers, RegisteredHandler, Registry

if TYPE_CHECKING:
    from duly.outbound import OutboundClient

ENTRY_POINT_GROUP = "duly.handlers"


def load_registry(
    modules: Sequence[str], *, client: "OutboundClient | None" = None, builtin: Collection[str] = BUILTIN_TYPES
) -> Registry:
    """Returns the built-in types, those of the modules, and those of the entry-point group `duly.handlers`.

    Args:
        modules: names such as `package.module` or `package.module:variable`.
        client: client of `http.request`, closed with the registry; None: one that calls public addresses.
        builtin: the built-in types to include.

    Raises:
        HandlerError: a module cannot be imported or defines no Handlers object, or a type has two handlers.
    """
    # Imported here so that a child process does not import an HTTP client.
    from duly.handlers.builtin import builtin_handlers  # noqa: PLC0415
    from duly.outbound import OutboundClient  # noqa: PLC0415

    client = client or OutboundClient()
    found = _distinct([builtin_handlers(client, chosen=builtin), *users_handlers(modules)])
    schedules = [schedule for handlers in found for schedule in handlers.schedules()]
    return Registry(_each(found), schedules=schedules, closing=client.aclose)


def load_users_own(modules: Sequence[str]) -> Registry:
    """Returns the types of the modules and of installed packages without the built-in ones, for a child process.

    Raises:
        HandlerError: as in `load_registry`.
    """
    return Registry(_each(users_handlers(modules)))


def users_handlers(modules: Sequence[str]) -> list[Handlers]:
    """Returns the handlers of the modules, and those that installed packages announce.

    Raises:
        HandlerError: as in `load_registry`.
    """
    found: list[Handlers] = []
    for name in modules:
        found += _from_module(name)
    for name in _announced(tuple(sys.path)):
        found += _from_module(name)
    return found


@lru_cache(maxsize=1)  # reading the metadata of all packages takes 3 ms, which tests with many services notice
def _announced(search_path: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the modules that the packages on this search path, which is `sys.path`, announce."""
    del search_path
    return tuple(entry_point.value for entry_point in entry_points(group=ENTRY_POINT_GROUP))


def _each(found: Iterable[Handlers]) -> Iterator[RegisteredHandler]:
    return (handler for handlers in _distinct(found) for handler in handlers)


def _distinct(found: Iterable[Handlers]) -> list[Handlers]:
    """Returns each object once: it may be found both in the settings and by an entry point."""
    return list({id(handlers): handlers for handlers in found}.values())


def _from_module(name: str) -> list[Handlers]:
    path, _, variable = name.partition(":")
    module = _imported(path)
    members = [getattr(module, variable, None)] if variable else list(vars(module).values())
    found = [member for member in members if isinstance(member, Handlers)]
    if not found:
        where = f'named "{variable}" ' if variable else ""
        raise HandlerError(f'module "{path}" defines no Handlers object {where}(handlers = duly.Handlers())')
    return found


def _imported(path: str) -> ModuleType:
    try:
        return importlib.import_module(path)
    except HandlerError:
        raise
    except (Exception, SystemExit) as error:
        where = _where(error, package=path.partition(".")[0])
        raise HandlerError(f'cannot import module "{path}": {where}') from error


def _where(error: BaseException, *, package: str) -> str:
    """Returns the error on one line, with the last line of the user's own package in its traceback."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    places = [
        f" ({frame.f_code.co_filename}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    place = places[-1] if places else ""
    return f"{type(error).__name__}: {error}{place}".replace("\n", " ")
