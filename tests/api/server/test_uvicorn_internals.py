"""The names of uvicorn that are relied on: all of them are listed, and the installed release has them."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import duly
from duly.api.server import uvicorn_internals
from duly.api.server.shedding_protocol import SheddingProtocol
from duly.api.server.socket_protocol import SocketProtocol
from duly.api.server.uvicorn_internals import (
    NAMES,
    FlowControl,
    HttpToolsProtocol,
    RequestResponseCycle,
    ServerState,
    WebSocketsSansIOProtocol,
)

APP = Path(duly.__file__).parent
SERVER = APP / "cli" / "http_server.py"
# The expressions in our sources that stand for an object of each class.
SPELLED = {
    RequestResponseCycle: {"cycle", "self.cycle"},
    FlowControl: {"self.flow"},
    ServerState: {"self.server_state", "state"},
}
OURS: dict[type, type] = {HttpToolsProtocol: SheddingProtocol, WebSocketsSansIOProtocol: SocketProtocol}
CLASSES = [pytest.param(cls, id=cls.__name__) for cls in NAMES]


def names_of(cls: type) -> set[str]:
    """The members of a class and the attributes that its `__init__` sets."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    set_here = {target for node in ast.walk(tree) if (target := _attribute(node, of={"self"}, stored=True))}
    return set_here | {name for name in vars(cls) if not name.startswith("__")} | set(_declared(cls))


def _declared(cls: type) -> dict[str, object]:
    return dict(getattr(cls, "__annotations__", {})) | dict(getattr(cls, "__dataclass_fields__", {}))


def _attribute(node: ast.AST, *, of: set[str], stored: bool = False) -> str | None:
    if not isinstance(node, ast.Attribute) or (stored and not isinstance(node.ctx, ast.Store)):
        return None
    return node.attr if ast.unparse(node.value) in of else None


def our_classes(base: type) -> Iterator[type]:
    return (cls for cls in OURS[base].__mro__ if cls.__module__.startswith("duly.") and issubclass(cls, base))


def used(cls: type) -> set[str]:
    """The names of this class that our sources read, set, call or override."""
    known = names_of(cls)
    if cls in OURS:
        found = set[str]()
        for ours in our_classes(cls):
            tree = ast.parse(textwrap.dedent(inspect.getsource(ours)))
            found |= {name for node in ast.walk(tree) if (name := _attribute(node, of={"self", "super()"}))}
            found |= {name for name in vars(ours) if not name.startswith("__")}
        if cls is HttpToolsProtocol:
            found |= _used_on({"connection"}, SERVER)
        return found & known
    parts = APP / "api" / "server"
    own = (*parts.glob("*_protocol.py"), parts / "connection_deadlines.py", parts / "request_parser.py")
    return _used_on(SPELLED[cls], SERVER, *own)


def _used_on(spelled: set[str], *sources: Path) -> set[str]:
    trees = [ast.parse(source.read_text()) for source in sources]
    return {name for tree in trees for node in ast.walk(tree) if (name := _attribute(node, of=spelled))}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_name_that_is_used_is_listed(cls: type) -> None:
    assert sorted(NAMES[cls]) == sorted(used(cls))


@pytest.mark.parametrize("cls", CLASSES)
def test_the_installed_uvicorn_has_every_listed_name(cls: type) -> None:
    assert NAMES[cls] - names_of(cls) == set()


@pytest.mark.parametrize("base", OURS)
def test_an_overridden_method_takes_what_uvicorn_gives_it(base: type) -> None:
    for name in NAMES[base]:
        theirs, ours = getattr(base, name, None), getattr(OURS[base], name, None)
        if inspect.isfunction(theirs) and inspect.isfunction(ours) and theirs is not ours:
            given = inspect.signature(theirs).parameters
            inspect.signature(ours).bind(*given)


def test_no_other_module_imports_a_part_of_uvicorn() -> None:
    importing = {
        path.relative_to(APP).as_posix()
        for path in APP.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "uvicorn"
    }
    own = Path(uvicorn_internals.__file__).relative_to(APP).as_posix()
    assert importing == {own}
