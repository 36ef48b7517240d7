"""Fault points: every await in the source of the service, and `kill -9` at a chosen one.

They are inserted when modules are imported, in processes that install them; the product does not contain them.
"""

import ast
import importlib.util
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Generic, TypeVar

STEP_MODULES = (
    "duly.worker.steps",
    "duly.lifecycle.run.steps",
    "duly.store.ledger.steps",
    "duly.store.queue.park",
)
COMPENSATION_MODULES = (
    "duly.worker.compensation",
    "duly.handlers.compensation",
    "duly.lifecycle.run.compensation",
    "duly.store.ledger.compensation",
    "duly.lifecycle.end.two_statements",
)
PARENT_MODULES = ("duly.store.ties.waiting_parents",)
MODULES = (
    *STEP_MODULES,
    *COMPENSATION_MODULES,
    *PARENT_MODULES,
    "duly.webhooks.dispatcher",
    "duly.webhooks.sender",
    "duly.webhooks.settler",
    "duly.store.webhooks.take_deliveries",
    "duly.store.webhooks.delivery_attempts",
    "duly.store.webhooks.receivers",
    "duly.outbound.client",
    "duly.outbound.connection",
    "duly.outbound.connection_pool",
    "duly.lifecycle.leases.polls",
    "duly.lifecycle.leases.heartbeats",
    "duly.lifecycle.leases.ends",
    "duly.store.queue.leases",
    "duly.api.leases.claim_leases",
    "duly.api.leases.heartbeats",
    "duly.api.leases.ends",
    "duly.api.leases.lease_children",
)
# Names under which the rewritten modules call the functions below.
PASS, WAIT = "__fault_point__", "__fault_points__"
# At the first pass the service is idle; at the third, other jobs are in progress.
NOTED = (1, 3, 30)

Value = TypeVar("Value")


def points_of(module: str) -> list[str]:
    """Returns the points of a module in the order of its source, such as `module:Class.function:n:before await`."""
    spec = PathFinder.find_spec(module, importlib.import_module(module.rpartition(".")[0]).__path__)
    assert spec is not None
    assert spec.origin is not None
    return _rewritten(module, Path(spec.origin).read_bytes())[1]


def _rewritten(module: str, source: bytes) -> tuple[ast.Module, list[str]]:
    rewriting = _Rewriting(module)
    tree = rewriting.visit(ast.parse(source))
    return ast.fix_missing_locations(tree), rewriting.points


class _Rewriting(ast.NodeTransformer):
    """Inserts a call before and after each place where a coroutine may yield."""

    def __init__(self, module: str) -> None:
        self.points: list[str] = []
        self._module = module
        self._path: list[str] = []
        self._numbers: Counter[str] = Counter()

    def _enter(self, node: Any) -> ast.AST:
        self._path.append(node.name)
        self.generic_visit(node)
        self._path.pop()
        return node  # type: ignore[no-any-return]  # what was given

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _enter  # ast's names

    def visit_Await(self, node: ast.Await) -> ast.AST:
        place = self._place()
        before, after = self._point(place, "before await"), self._point(place, "after await")
        self.generic_visit(node)
        return _call(PASS, after, ast.Await(_call(PASS, before, node.value)))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        for item in node.items:
            place = self._place()
            moments = [self._point(place, moment) for moment in ("enter", "entered", "leave", "left")]
            item.context_expr = _call(WAIT, moments, item.context_expr)
        self.generic_visit(node)
        return node

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self._each(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        return self._each(node) if node.is_async else self.generic_visit(node)

    def _each(self, node: Any) -> ast.AST:
        place = self._place()
        node.iter = _call(WAIT, [self._point(place, "before each"), self._point(place, "after each")], node.iter)
        return self.generic_visit(node)

    def _place(self) -> str:
        path = ".".join(self._path)
        self._numbers[path] += 1
        return f"{self._module}:{path}:{self._numbers[path]}"

    def _point(self, place: str, moment: str) -> str:
        self.points.append(f"{place}:{moment}")
        return self.points[-1]


def _call(function: str, points: str | list[str], value: ast.expr) -> ast.Call:
    named = ast.Constant(points) if isinstance(points, str) else ast.List([ast.Constant(p) for p in points], ast.Load())
    return ast.Call(ast.Name(function, ast.Load()), [named, value], [])


class Passing(Generic[Value]):
    """Asynchronous context manager or iterator with points around each of its steps."""

    def __init__(self, points: list[str], inner: Any) -> None:
        self._points = points
        self._inner = inner

    async def __aenter__(self) -> Any:
        return await self._step(self._inner.__aenter__(), *self._points[:2])

    async def __aexit__(self, *raised: object) -> Any:
        return await self._step(self._inner.__aexit__(*raised), *self._points[2:])

    def __aiter__(self) -> AsyncIterator[Any]:
        return Passing(self._points, self._inner.__aiter__())

    async def __anext__(self) -> Any:
        return await self._step(self._inner.__anext__(), *self._points)

    async def _step(self, step: Awaitable[Any], before: str, after: str) -> Any:
        pass_point(before)
        came = await step
        pass_point(after)
        return came


_passed: Counter[str] = Counter()


def pass_point(point: str, value: Any = None) -> Any:
    """Records the first passes of each point; kills the process at the chosen one.

    FAULT_NOTES: file with lines `point pass`. FAULT_POINT: point and pass at which to kill the process.
    """
    _passed[point] += 1
    if _passed[point] in NOTED and (notes := os.environ.get("FAULT_NOTES")):
        with Path(notes).open("a") as file:
            file.write(f"{point} {_passed[point]}\n")
    if os.environ.get("FAULT_POINT") == f"{point} {_passed[point]}":
        os.kill(os.getpid(), signal.SIGKILL)
    return value


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """Compiles from source each time: cached bytecode has no points, and bytecode with points is not cached."""
        path = self.get_filename(fullname)
        tree, _ = _rewritten(fullname, self.get_data(path))
        return compile(tree, path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update({PASS: pass_point, WAIT: Passing})
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MODULES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=_Loader(fullname, spec.origin))


def install() -> None:
    """Makes later imports of these modules insert the points."""
    loaded = sys.modules.keys() & set(MODULES)
    assert not loaded, loaded
    sys.meta_path.insert(0, _Finder())
