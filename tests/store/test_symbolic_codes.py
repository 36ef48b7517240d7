"""Statements name kinds of events and marks of jobs by their enumerations, not by their numbers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import duly.store

STORE = Path(duly.store.__file__).parent
LITERAL = re.compile(
    r"\bkind\b(?:, 0\))?\s*(?:=|<>|[<>]=?|in \(|between)\s*\d"  # a kind that is compared
    r"|\bmarks\b\s*[&|]\s*\d"  # a bit that is tested or set
    r"|\bsequence(?: \+ 1)?, \d+,"  # the kind of a recorded event, after its sequence
    r"|\b[1-9]\d*(?:::smallint)? as kind\b"
)


def statements(source: str) -> Iterator[tuple[int, str]]:
    """Yields string literals except docstrings; a placeholder of an f-string becomes `{}`."""
    tree = ast.parse(source)
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {node.body[0].value for node in ast.walk(tree) if isinstance(node, documented) and _has_text(node.body)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(map(str, texts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts | docs:
            yield node.lineno, node.value


def _has_text(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def literals(source: str) -> list[str]:
    return [f"{line}: {found[0]}" for line, text in statements(source) for found in LITERAL.finditer(text)]


@pytest.mark.parametrize("path", sorted(STORE.rglob("*.py")), ids=lambda path: str(path.relative_to(STORE)))
def test_no_statement_has_a_kind_or_a_mark_as_a_number(path: Path) -> None:
    assert literals(path.read_text()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "where kind >= 10",
        "where kind in (10, 12)",
        "where coalesce(e.kind, 0) < 10",
        "d.kind between 10 and 12",
        "marks & 5 <> 0",
        "set marks = marks | 8",
        "select job_id, sequence, 6, 0, $6",
        "select *, 1::smallint as kind",
    ],
)
def test_a_number_is_found(sql: str) -> None:
    assert literals(f"X = '{sql}'") != []
    assert literals(f"X = f'{{TABLE}} {sql}'") != []
