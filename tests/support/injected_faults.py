"""Injected faults: an error at a chosen call or await of modules in the process of the test.

The functions of the modules get code with fault points, compiled from their source; their own code is restored
afterwards.
"""

import ast
import inspect
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any

CALL, AWAITED = "__fault_call__", "__fault_awaited__"
# Calls that cannot raise with their arguments there.
PURE = {"len", "list", "set", "max", "min", "sum", "str", "isinstance", "type", "range", "getattr", "partial", "map"}


class Fault(Exception):
    """Error raised at a point."""


class Faults:
    """Points of the installed modules.

    Attributes:
        passed: number of passes of each point.
        armed: point at which the next pass raises a fault; None afterwards.
    """

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.armed: str | None = None

    @property
    def waiting(self) -> bool:
        """Returns whether the fault was not yet raised."""
        return self.armed is not None

    def at(self, point: str) -> None:
        self.passed[point] += 1
        if self.armed == point:
            self.armed = None
            raise Fault(point)

    def call(self, point: str, function: Any) -> Any:
        """Passes a point before a call and the evaluation of its arguments."""
        self.at(point)
        return function

    async def awaited(self, point: str, awaitable: Any) -> Any:
        """Passes a point after an await."""
        came = await awaitable
        self.at(point)
        return came


class _Rewriting(ast.NodeTransformer):
    def __init__(self, module: str) -> None:
        self._module = module
        self._path: list[str] = []
        self._numbers: Counter[str] = Counter()

    def _enter(self, node: Any) -> ast.AST:
        self._path.append(node.name)
        node.body = [self.visit(statement) for statement in node.body]
        self._path.pop()
        return node  # type: ignore[no-any-return]  # what was given

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _enter  # ast's names

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if self._path and not (isinstance(node.func, ast.Name) and node.func.id in PURE):
            node.func = self._passing(CALL, f"call {ast.unparse(node.func)}", node.func)
        return node

    def visit_Await(self, node: ast.Await) -> ast.AST:
        what = f"awaited {ast.unparse(node.value)}"
        self.generic_visit(node)
        return ast.Await(self._passing(AWAITED, what, node.value))

    def _passing(self, function: str, what: str, value: ast.expr) -> ast.Call:
        place = f"{self._module}:{'.'.join(self._path)}"
        self._numbers[place] += 1
        point = ast.Constant(f"{place}:{self._numbers[place]}:{what}")
        return ast.Call(ast.Name(function, ast.Load()), [point, value], [])


@contextmanager
def installed(*modules: ModuleType) -> Iterator[Faults]:
    """Inserts points into the functions of these modules while the block runs."""
    faults = Faults()
    own: list[tuple[FunctionType, CodeType]] = []
    for module in modules:
        vars(module).update({CALL: faults.call, AWAITED: faults.awaited})
        tree = _Rewriting(module.__name__).visit(ast.parse(inspect.getsource(module)))
        code = compile(ast.fix_missing_locations(tree), str(module.__file__), "exec", dont_inherit=True)
        rewritten = {each.co_qualname: each for each in _codes(code)}
        for function in _functions(module):
            own.append((function, function.__code__))
            function.__code__ = rewritten[function.__code__.co_qualname]
    try:
        yield faults
    finally:
        for function, code in own:
            function.__code__ = code


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for member in list(vars(module).values()):
        if getattr(member, "__module__", None) != module.__name__:
            continue
        for each in vars(member).values() if isinstance(member, type) else [member]:
            named: Any = each.fget if isinstance(each, property) else each
            function = inspect.unwrap(named)
            if isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__:
                yield function
