"""The command types, run as its users run it."""

import ast
from pathlib import Path

from tests.cli.conftest import Run


def test_types_are_written_from_a_service(duly: Run) -> None:
    done = duly("types", "--lang", "ts", "--type", "sleep")
    assert (done.returncode, done.stderr) == (0, "")
    assert "export interface SleepParameters {" in done.stdout and "Echo" not in done.stdout


def test_types_are_written_from_handlers_without_a_service(duly: Run, tmp_path: Path) -> None:
    file = tmp_path / "job_types.py"
    done = duly("types", "--lang", "py", "--handlers", "tests.support.handlers", "-o", str(file), DULY_URL="http://x:9")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    classes = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)}
    assert {"WaitForGateParameters", "RaiseParameters"} <= classes


def test_a_mistake_is_named_on_one_line(duly: Run) -> None:
    for arguments, told in (
        (("--lang", "go"), "--lang must be py or ts, not 'go'"),
        (("--lang", "py", "--type", "none"), "--type: unknown job type 'none'"),
        (("--lang", "py", "--handlers", "no.such.module"), "--handlers: "),
    ):
        done = duly("types", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"duly: {told}") and done.stderr.count("\n") == 1
