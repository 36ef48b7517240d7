"""Types written for Python: they compile, pydantic validates by them, and no text of a schema becomes code."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from duly.cli.typegen.job_types import JobTypeSchemas, write_types
from tests.cli.typegen.schemas import HOSTILE_NAMES, JOB_TYPES, REPORT_VALUE

USE = """
from job_types import DoubleParameters, ReportGenerationParameters, ReportGenerationResult

report: ReportGenerationParameters = {"startDate": "2026-01-27", "owner": {"id": 1}, "options": [1, "all"]}
number: DoubleParameters = 7
tree: ReportGenerationResult = {"value": None, "children": [{"value": 1, "children": []}]}
"""
MISUSES = (
    'report = {"startDate": "2026-01-27"}',
    'report["owner"] = {"id": "one"}',
    'report["format"] = "docx"',
    'number = "seven"',
    'tree["children"] = [{"value": 1}]',
)


def written(*job_types: JobTypeSchemas) -> ModuleType:
    """Returns the module with the types of these job types."""
    module = ModuleType("written")
    sys.modules["written"] = module
    exec(compile(write_types(job_types, language="py"), "written.py", "exec"), vars(module))  # noqa: S102  # what is written is the object of the test
    return module


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return written(*JOB_TYPES)


def test_mypy_accepts_the_types_and_refuses_their_misuse(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    (tmp_path / "job_types.py").write_text(write_types(JOB_TYPES, language="py"), encoding="utf-8")
    (tmp_path / "use.py").write_text("\n".join([USE, *MISUSES, ""]))
    kept = str(pytestconfig.cache.mkdir("mypy"))
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", kept, "--no-color-output"]
    done = subprocess.run(
        [*mypy, "use.py", "job_types.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    first = USE.count("\n") + 1
    found = {line.split(": error:")[0] for line in done.stdout.splitlines() if ": error:" in line}
    assert found == {f"use.py:{first + number}" for number in range(1, len(MISUSES) + 1)}, done.stdout


def test_pydantic_validates_by_the_types(module: ModuleType) -> None:
    assert TypeAdapter(module.ReportGenerationParameters).validate_python(REPORT_VALUE) == REPORT_VALUE
    tree = {"value": 1, "children": [{"value": None, "children": []}]}
    assert TypeAdapter(module.ReportGenerationResult).validate_python(tree) == tree
    for wrong in ({**REPORT_VALUE, "format": "docx"}, {**REPORT_VALUE, "owner": {}}, {"startDate": "2026-01-27"}):
        with pytest.raises(ValidationError):
            TypeAdapter(module.ReportGenerationParameters).validate_python(wrong)


def test_hostile_names_are_members_as_they_are_and_no_text_becomes_code(module: ModuleType) -> None:
    assert {*HOSTILE_NAMES, "row", "escaped", "values", "plain"} == set(module.HostileParameters.__annotations__)
    assert not [name for name in vars(module) if "evil" in name.lower() and not name.startswith("Hostile")]
    value: dict[str, Any] = dict.fromkeys(HOSTILE_NAMES, "x") | {"row": {"n": 1}}
    assert TypeAdapter(module.HostileParameters).validate_python(value) == value


def test_names_that_become_the_same_are_numbered(module: ModuleType) -> None:
    assert module.ReportGenerationParameters2 is Any
    assert {"HostileParametersRow", "HostileParametersRow2", "HostileParametersRow3"} <= vars(module).keys()


def test_what_has_no_type_is_anything(module: ModuleType) -> None:
    for name in ("Type7Parameters", "Type7Result", "OddParameters", "OddResult", "ReportGenerationResult2"):
        assert getattr(module, name) is Any


def test_a_member_with_the_name_of_a_type_hides_none() -> None:
    properties = {"str": {"type": "string"}, "next": {"type": "string"}}
    module = written(JobTypeSchemas("hiding", {"type": "object", "properties": properties}, {}))
    adapter = TypeAdapter(module.HidingParameters)
    assert adapter.validate_python({"str": "a", "next": "b"}) == {"str": "a", "next": "b"}
