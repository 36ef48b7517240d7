"""The continuous integration of the forge runs what the metadata promise."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def test_every_python_of_the_classifiers_is_in_the_matrix() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: "
    promised = [name.removeprefix(prefix) for name in project["classifiers"] if name.startswith(prefix)]
    matrix = re.search(r"^ +python: \[(.*)\]$", WORKFLOW.read_text(), re.MULTILINE)
    assert matrix
    assert re.findall(r'"([\d.]+)"', matrix[1]) == promised
    assert project["requires-python"] == f">={promised[0]}"


def test_it_runs_what_a_landing_runs() -> None:
    assert re.search(r"^ +- run: \.ci/run$", WORKFLOW.read_text(), re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_actions_are_pinned_by_their_major_version() -> None:
    used = re.findall(r"uses: (\S+)", WORKFLOW.read_text())
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+", name)] == []
