"""Types written for TypeScript: the compiler accepts them, and no text of a schema becomes code."""

import json
import subprocess

import pytest

from duly.cli.typegen.job_types import write_types
from tests.cli.typegen.schemas import HOSTILE_NAMES, JOB_TYPES
from tests.support.node_packages import node, node_packages
from tests.support.openapi_generators import LOCKED

MEMBERS = ", ".join(f'[{json.dumps(name)}]: "x"' for name in HOSTILE_NAMES)
USE = f"""
import type {{ JobTypes, ReportGenerationParameters, ReportGenerationResult }} from "./job_types";

export const report: ReportGenerationParameters = {{ startDate: "2026-01-27", owner: {{ id: 1 }}, options: [1] }};
export const tree: ReportGenerationResult = {{ value: null, children: [{{ value: 1, children: [] }}] }};
export const doubled: JobTypes["double"]["result"] = 14;
export const hostile: JobTypes["hostile"]["parameters"] = {{ {MEMBERS}, row: {{ n: 1 }} }};
"""
MISUSES = (
    'export const misuse1: ReportGenerationParameters = { startDate: "2026-01-27" };',
    'export const misuse2: ReportGenerationParameters["format"] = "docx";',
    'export const misuse3: JobTypes["double"]["parameters"] = "seven";',
    "export const misuse4: ReportGenerationResult = { value: 1, children: [{ value: 1 }] };",
    'export const misuse5: keyof JobTypes = "unknown";',
)


@pytest.fixture(scope="module")
def compiled(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Returns what the compiler prints, and the JavaScript that it makes of the types."""
    folder = tmp_path_factory.mktemp("typescript")
    (folder / "job_types.ts").write_text(write_types(JOB_TYPES, language="ts"), encoding="utf-8")
    (folder / "use.ts").write_text("\n".join([USE, *MISUSES, ""]), encoding="utf-8")
    tsc = str(node_packages(pytestconfig, LOCKED) / "typescript/bin/tsc")
    command = [node(), tsc, "--strict", "--module", "esnext", "--removeComments", "--pretty", "false", "use.ts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout, (folder / "job_types.js").read_text()


def test_the_compiler_accepts_the_types_and_refuses_their_misuse(compiled: tuple[str, str]) -> None:
    first = USE.count("\n") + 1
    found = [line.split(",")[0] for line in compiled[0].splitlines() if "error TS" in line]
    assert found == [f"use.ts({first + number}" for number in range(1, len(MISUSES) + 1)], compiled[0]


def test_no_text_of_a_schema_becomes_code(compiled: tuple[str, str]) -> None:
    assert compiled[1].strip() == "export {};"
