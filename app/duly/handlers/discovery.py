"""Finding handlers: modules named in the settings, and installed packages that announce theirs."""

import importlib
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING

from duly.handlers.exceptions import HandlerError
from duly.handlers.registry import Handlers, RegisteredHandler, Registry

if TYPE_CHECKING:
    from duly.outbound import OutboundClient

ENTRY_POINT_GROUP = "duly.handlers"


def load_registry(modules: Sequence[str], *, client: "OutboundClient | None" = None) -> Registry:
    """The built-in types, those of the named modules (`package.module` or `package.module:variable`), and those that
    installed packages announce under the entry-point group `duly.handlers`.

    Args:
        modules: their names.
        client: what `http.request` calls through, closed with the registry; None: one that calls public addresses.

    Raises:
        HandlerError: a module cannot be imported or holds no Handlers object, or two handlers have one name.
    """
    # A child process need not import an HTTP client.
    from duly.handlers.builtin import builtin_handlers  # noqa: PLC0415
    from duly.outbound import OutboundClient  # noqa: PLC0415

    client = client or OutboundClient()
    return Registry(_each([builtin_handlers(client), *_found(modules)]), closing=client.aclose)


def load_users_own(modules: Sequence[str]) -> Registry:
    """Returns the types of the named modules and of installed packages only, as a child process needs them.

    Raises:
        HandlerError: as for `load_registry`.
    """
    return Registry(_each(_found(modules)))


def _found(modules: Sequence[str]) -> list[Handlers]:
    found: list[Handlers] = []
    for name in modules:
        found += _from_module(name)
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        found += _from_module(entry_point.value)
    return found


def _each(found: Iterable[Handlers]) -> Iterator[RegisteredHandler]:
    return (handler for handlers in _distinct(found) for handler in handlers)


def _distinct(found: Iterable[Handlers]) -> list[Handlers]:
    """One object may be reached twice: named in the settings and announced, or imported by a second module."""
    return list({id(handlers): handlers for handlers in found}.values())


def _from_module(name: str) -> list[Handlers]:
    path, _, variable = name.partition(":")
    module = _imported(path)
    members = [getattr(module, variable, None)] if variable else list(vars(module).values())
    found = [member for member in members if isinstance(member, Handlers)]
    if not found:
        where = f'called "{variable}" ' if variable else ""
        raise HandlerError(f'the module "{path}" holds no Handlers object {where}(handlers = duly.Handlers())')
    return found


def _imported(path: str) -> ModuleType:
    try:
        return importlib.import_module(path)
    except HandlerError:
        raise
    except (Exception, SystemExit) as error:
        where = _where(error, package=path.partition(".")[0])
        raise HandlerError(f'the module "{path}" cannot be imported: {where}') from error


def _where(error: BaseException, *, package: str) -> str:
    """The error in one line, with the last line of the user's own package that led to it."""
    places = [
        f" ({frame.f_code.co_filename}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    place = places[-1] if places else ""
    return f"{type(error).__name__}: {error}{place}".replace("\n", " ")
