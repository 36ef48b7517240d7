"""Modules that raise an error at a chosen point: at each call and each await of their functions, once.

A copy of the module is compiled from its source with fault points; the test replaces the product's classes with those
of the copy.
"""

import ast
import importlib.util
from collections import Counter
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

PASS, WAIT = "__throw_point__", "__throw_points__"


class Thrown(Exception):
    """Injected error, named after its point."""


class FaultInjector:
    """Raises the error at the armed point, once."""

    def __init__(self) -> None:
        self.armed: str | None = None
        self.passed: Counter[str] = Counter()

    def arm(self, point: str) -> None:
        self.armed = point

    @property
    def fired(self) -> bool:
        return self.armed is None

    def passing(self, point: str, value: Any = None) -> Any:
        self.passed[point] += 1
        if point == self.armed:
            self.armed = None
            if hasattr(value, "close") and hasattr(value, "send"):
                value.close()  # a coroutine that will not be awaited
            raise Thrown(point)
        return value

    def waiting(self, points: list[str], inner: Any) -> "_Waiting":
        return _Waiting(self, points, inner)


class _Waiting:
    """Asynchronous context manager with a point before its entry and one after its exit."""

    def __init__(self, thrower: FaultInjector, points: list[str], inner: Any) -> None:
        self._thrower = thrower
        self._points = points
        self._inner = inner

    async def __aenter__(self) -> Any:
        self._thrower.passing(self._points[0])
        return await self._inner.__aenter__()

    async def __aexit__(self, *raised: object) -> Any:
        suppressed = await self._inner.__aexit__(*raised)
        if raised[0] is None:
            self._thrower.passing(self._points[1])
        return suppressed


class _Rewriting(ast.NodeTransformer):
    def __init__(self) -> None:
        self.points: list[str] = []
        self._path: list[str] = []
        self._numbers: Counter[str] = Counter()

    def _enter(self, node: Any) -> ast.AST:
        self._path.append(node.name)
        node.body = [self.visit(each) for each in node.body]  # neither decorators nor defaults
        self._path.pop()
        return node  # type: ignore[no-any-return]  # what was given

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _enter  # ast's names

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not self._path:
            return node
        before, after = self._points("before call", "after call")
        node.func = _call(PASS, before, node.func)
        return _call(PASS, after, node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        before, after = self._points("before await", "after await")
        self.generic_visit(node.value)
        return _call(PASS, after, ast.Await(_call(PASS, before, node.value)))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        for item in node.items:
            self.generic_visit(item.context_expr)
            item.context_expr = _call(WAIT, self._points("before entering", "after leaving"), item.context_expr)
        node.body = [self.visit(each) for each in node.body]
        return node

    def _points(self, *moments: str) -> list[str]:
        path = ".".join(self._path)
        self._numbers[path] += 1
        made = [f"{path}:{self._numbers[path]}:{moment}" for moment in moments]
        self.points += made
        return made


def _call(function: str, points: str | list[str], value: ast.expr) -> ast.Call:
    named = ast.Constant(points) if isinstance(points, str) else ast.List([ast.Constant(p) for p in points], ast.Load())
    return ast.Call(ast.Name(function, ast.Load()), [named, value], [])


def copy_with_faults(name: str, thrower: FaultInjector) -> tuple[ModuleType, list[str]]:
    """Returns a copy of the module with points, and the points in the order of its source."""
    spec = PathFinder.find_spec(name, importlib.import_module(name.rpartition(".")[0]).__path__)
    assert spec is not None
    assert spec.origin is not None
    rewriting = _Rewriting()
    tree = ast.fix_missing_locations(rewriting.visit(ast.parse(Path(spec.origin).read_bytes())))
    module = importlib.util.module_from_spec(spec)
    module.__dict__.update({PASS: thrower.passing, WAIT: thrower.waiting})
    exec(compile(tree, spec.origin, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # our own source
    return module, rewriting.points
