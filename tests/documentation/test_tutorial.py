"""The tutorial: its page shows the files of examples/tutorial, and its commands do what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from duly import __version__
from tests.support.browser import running_browser
from tests.support.markdown_blocks import Block, blocks
from tests.support.service import SECRET_KEYS, eventually
from tests.support.shell_session import Ran, Shell, environment_for, running_shell
from tests.support.tcp_servers import free_port
from tests.support.tutorial import LEFT_BEHIND, PROJECT, Server, work_like_the_page

PAGE: Final = "docs/get-started/tutorial.md"
NOT_SHOWN: Final = {".dockerignore", "shop/__init__.py"}
FILES: Final = {
    str(file.relative_to(PROJECT))
    for file in PROJECT.rglob("*")
    if file.is_file() and not any(LEFT_BEHIND("", [part]) for part in file.relative_to(PROJECT).parts)
}
SHOWN: Final = [block for block in blocks(PAGE) if block.title]
COMMANDS: Final = [block for block in blocks(PAGE) if block.language == "sh" and not block.not_run]


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_a_block_is_the_file_that_it_names_or_a_part_of_it(block: Block) -> None:
    assert block.title in FILES
    whole = (PROJECT / str(block.title)).read_text()
    assert block.text in whole, f"{block.place} differs from examples/tutorial/{block.title}"


def test_the_page_shows_every_file_that_a_reader_needs() -> None:
    assert {block.title for block in SHOWN} == FILES - NOT_SHOWN


def test_the_example_has_a_configuration_of_pytest_and_does_not_find_that_of_the_clone() -> None:
    assert "pytest" in tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]


def test_the_image_of_the_example_is_that_of_this_release() -> None:
    assert (PROJECT / "Dockerfile").read_text().startswith(f"FROM duly:{__version__}\n")
    assert any(f"docker build --tag duly:{__version__} " in block.text for block in blocks(PAGE))
    hadolint = Path(sys.executable).with_name("hadolint")
    subprocess.run([hadolint, PROJECT / "Dockerfile"], check=True, timeout=300)


def test_the_compose_file_parts_api_and_workers_and_takes_its_secrets_from_the_environment() -> None:
    composed = yaml.safe_load((PROJECT / "compose.yaml").read_text())
    roles = {name: _roles(service) for name, service in composed["services"].items() if _roles(service)}
    assert roles == {"api": ["api", "dispatcher", "sweeper"], "worker": ["worker"]}
    for service in composed["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"KEY|SECRET|PASSWORD", name):
                assert str(value).startswith("${") and str(value).endswith(":?}"), name
        for other in service.get("depends_on", {}):
            assert other in composed["services"]


def test_docker_compose_accepts_the_compose_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not on this machine: the file is parsed as YAML by another test")
    names = ("POSTGRES_PASSWORD", "DULY_API_KEY", "DULY_SECRET_KEYS", "SHOP_WEBHOOK_SECRET")
    given = os.environ | dict.fromkeys(names, "any")
    subprocess.run([docker, "compose", "config", "--quiet"], cwd=PROJECT, env=given, check=True, timeout=300)


async def test_the_commands_of_the_page_take_a_reader_from_a_job_to_a_verified_webhook(
    database_url: str, tmp_path: Path
) -> None:
    """One test, as the steps build on each other: the page's commands in order, then what its web page does."""
    async with reading(database_url, tmp_path) as reader:
        # 3 and 4: the test is green, the service runs.
        assert " passed" in (await reader.run("pytest")).out
        await reader.run("DULY_API_KEY=")
        await reader.start("duly serve", f"{reader.duly}/readyz")
        submitted = await reader.run("duly submit")
        assert "completed" in submitted.out and "day 3 of 3" in submitted.out
        refused = await reader.run("/api/v1/jobs")
        assert [request.status for request in refused.requests] == [422]
        assert "parameters.endDate" in refused.out

        # 5 and 6: the page submits once, however often it sends, and sees the progress.
        await reader.start("uvicorn", reader.shop)
        await work_like_the_page(reader.shop)

        # 7: the webhook arrives, verified, and a forged one does not.
        reported = await eventually(
            lambda: reader.run_where("/reports/$job", lambda ran: '"status"' in ran.out), seconds=60
        )
        assert json.loads(reported.out.splitlines()[-1]) == json.loads(_after(reader.command("/reports/$job")).text)
        forged = await reader.run("/webhooks/duly")
        assert [request.status for request in forged.requests] == [401]

        # 8: the secrets that compose.yaml needs are in .env now.
        await reader.run("POSTGRES_PASSWORD=")
        names = {line.split("=")[0] for line in (reader.shell.folder / ".env").read_text().splitlines()}
        assert names >= set(re.findall(r"\$\{(\w+):\?\}", (PROJECT / "compose.yaml").read_text()))
        assert reader.left == []


async def test_the_web_page_shows_the_progress_of_a_report_and_shows_it_again_after_a_reload(
    database_url: str, tmp_path: Path
) -> None:
    async with running_browser() as browser, reading(database_url, tmp_path) as reader:
        reader.left = [reader.command(text) for text in ("DULY_API_KEY=", "duly serve", "uvicorn")]
        await reader.run("DULY_API_KEY=")
        await reader.start("duly serve", f"{reader.duly}/readyz")
        await reader.start("uvicorn", reader.shop)
        await browser.open(reader.shop)
        await browser.run("form.endDate.value = '2026-01-03'; form.requestSubmit()")
        await browser.until("return bar.value === 100 && text.textContent === 'job_completed'")
        await browser.run("window.old = true; location.reload()")
        await browser.until("return !window.old && bar.value === 100 && text.textContent === 'job_completed'")


@dataclass
class Reader:
    """Reader who works through the page, in a copy of the project."""

    shell: Shell
    duly: str
    shop: str
    servers: list[Server]
    left: list[Block]
    variables: dict[str, str]

    def command(self, containing: str) -> Block:
        """The block with this text."""
        return next(block for block in COMMANDS if containing in block.text)

    async def run(self, containing: str) -> Ran:
        """Runs the next block, which has this text; curl may be refused, everything else has to succeed."""
        assert containing in self.left[0].text, f"{self.left[0].place} is the next block of the page"
        block = self.left.pop(0)
        ran = await self.shell.run(self._here(block.text))
        assert ran.code == 0, f"{block.place}: {ran}"
        return ran

    async def run_where(self, containing: str, reached: Callable[[Ran], bool]) -> Ran | None:
        """Runs a block again until it shows what is awaited; the webhook may come a moment after the job's end."""
        block = self.command(containing)
        ran = await self.shell.run(self._here(block.text))
        assert ran.code == 0, f"{block.place}: {ran}"
        if not reached(ran):
            return None
        self.left.remove(block)
        return ran

    async def start(self, containing: str, url: str) -> None:
        """Starts the server of the next block, in a terminal of its own, and waits until it answers."""
        block = self.left.pop(0)
        assert containing in block.text, block.place
        commands = self._here(block.text).replace(". .venv/bin/activate\n", "")
        server = Server(["bash", "-c", commands], self.shell.folder, self.variables, self.shell.files)
        self.servers.append(server)
        await server.answers(url)

    def _here(self, commands: str) -> str:
        here = commands.replace("http://127.0.0.1:8000", self.duly).replace("http://127.0.0.1:8080", self.shop)
        return here.replace("--port 8080", f"--port {self.shop.rsplit(':', 1)[1]}")


@asynccontextmanager
async def reading(database_url: str, folder: Path) -> AsyncIterator[Reader]:
    """A copy of the project, with a file in place of the environment that the page installs."""
    project, files = folder / "tutorial", folder / "session"
    shutil.copytree(PROJECT, project, ignore=LEFT_BEHIND)
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "activate").touch()
    duly, shop = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    variables = {
        "DULY_DATABASE_URL": database_url,
        "DULY_PORT": duly.rsplit(":", 1)[1],
        "DULY_SECRET_KEYS": SECRET_KEYS,
        "DULY_URL": duly,
        "SHOP_URL": shop,
        "PYTHONPATH": str(project),
    }
    async with running_shell(project, files, variables) as shell:
        servers: list[Server] = []
        environment = environment_for(folder / "servers", variables)
        try:
            yield Reader(shell, duly, shop, servers, list(COMMANDS), environment)
        finally:
            for server in servers:
                await server.stop()


def _after(block: Block) -> Block:
    found = list(blocks(PAGE))
    return found[found.index(block) + 1]


def _roles(service: dict[str, Any]) -> list[str]:
    command = service.get("command") or []
    return [after for flag, after in pairwise(command) if flag == "--role"]
