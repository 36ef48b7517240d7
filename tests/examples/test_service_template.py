"""examples/service-template: what its steps do, its optional steps, and its one command."""

import json
from pathlib import Path

import pytest
from service_template import forge
from service_template.jobs import handlers

from duly.testing import run_handler
from tests.support.examples import run_example


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGE_FOLDER", str(tmp_path))
    (tmp_path / "directory.json").write_text('["ada", "grace"]')
    return tmp_path


async def test_the_example_runs_by_its_one_command(database_url: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    printed = await run_example("service-template", "--short", database_url=database_url, output=output)
    assert "FAULT" not in printed
    before, after = printed.split("Retrying from the step ci.")
    assert "clocks: pending, held" in before and "KeyError: 'port'" in before
    assert "clocks: completed" in after and "members: skipped: not in the directory: mallory" in after
    assert after.split("drafts: cancelled")[1].count(": compensated") == 3
    assert 'The deployed clocks answers: {"service": "clocks"' in after


async def test_a_service_is_deployed_from_the_first_commit_of_its_repository(folder: Path) -> None:
    run = await run_handler(handlers, "create-service", {"name": "zones", "settings": {"port": 1}, "members": ["ada"]})
    assert run.result is not None and run.result["build"]["tests"] == 2
    assert run.result["deployment"]["commit"] == run.result["repository"]["commit"]
    assert run.result["members"] == {"value": ["ada"], "skipped": None}
    assert forge.ask("zones")["service"] == "zones"
    assert json.loads((folder / "logging" / "zones.json").read_text()) == {"stream": "logs/zones", "days": 30}


async def test_an_optional_step_that_cannot_be_done_is_skipped_with_its_reason(folder: Path) -> None:
    (folder / "logging").touch()  # no folder
    run = await run_handler(handlers, "create-service", {"name": "zones", "settings": {"port": 1}, "members": ["eve"]})
    assert run.result is not None and run.result["members"]["skipped"] == "not in the directory: eve"
    assert "logging" in run.result["logging"]["skipped"]
    assert run.completed


def test_a_repository_that_exists_stays_as_it_is(folder: Path) -> None:
    first = forge.create_repository("zones", {"port": 1})
    assert forge.create_repository("zones", {"port": 2}) == first
    with forge.checkout(first.path) as work:
        assert json.loads((work / "settings.json").read_text()) == {"port": 1}


def test_a_commit_whose_tests_fail_is_not_built(folder: Path) -> None:
    repository = forge.create_repository("zones", {})
    with forge.checkout(repository.path) as work:
        (work / "app.py").write_text("def answer(path):\n    return 500, {}\n")
        forge.commit_all(work, "Break the service")
    with pytest.raises(forge.ForgeError, match="FAILED"):
        forge.build(repository)
    assert not list((folder / "artifacts").glob("*"))
