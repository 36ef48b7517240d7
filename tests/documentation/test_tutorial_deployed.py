"""The services of the tutorial's compose file, started as processes with the commands and variables of the file."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.support.forked_commands import ForkedProcess, fork_server
from tests.support.service import NO_TLS, SECRET_KEYS, eventually
from tests.support.service_process import Processes, starting_processes
from tests.support.shell_session import environment_for
from tests.support.tcp_servers import free_port
from tests.support.tutorial import PROJECT, Server, work_like_the_page

COMPOSED: Final[dict[str, Any]] = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]
SECRETS: Final = {
    "POSTGRES_PASSWORD": "any",
    "DULY_API_KEY": "sk-tutorial",
    "DULY_SECRET_KEYS": SECRET_KEYS,
    "SHOP_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


async def test_api_worker_and_backend_work_together(database_url: str, tmp_path: Path) -> None:
    async with deployed(database_url, tmp_path) as shop:
        job_id = await work_like_the_page(shop)
        async with httpx.AsyncClient(base_url=shop, timeout=60, verify=NO_TLS) as page:

            async def reported() -> Any:
                response = await page.get(f"/reports/{job_id}")
                return response.json() if response.status_code == 200 else None

            assert await eventually(reported) == {"status": "completed", "result": {"days": 3, "orders": 306}}


@asynccontextmanager
async def deployed(database_url: str, folder: Path) -> AsyncIterator[str]:
    """Starts the services in the order of their dependencies; yields the address of the backend."""
    api, web = free_port(), free_port()
    network = re.findall(r"subnet: (\S+)", (PROJECT / "compose.yaml").read_text())[0]
    here = {
        "http://127.0.0.1:8000": f"http://127.0.0.1:{api}",
        "http://127.0.0.1:8080": f"http://127.0.0.1:{web}",
        "http://api:8000": f"http://127.0.0.1:{api}",
        "http://web:8080": f"http://127.0.0.1:{web}",
        network: "127.0.0.0/8",
    }
    async with AsyncExitStack() as stack:
        processes = await stack.enter_async_context(starting_processes(folder))
        migrated = processes.run_as(start, *COMPOSED["migrate"]["command"], **variables("migrate", here, database_url))
        assert await migrated.ended() == 0, migrated.stderr
        await serve(processes, "api", variables("api", here, database_url) | {"DULY_PORT": str(api)})
        await serve(processes, "worker", variables("worker", here, database_url) | {"DULY_PORT": "0"})
        given = environment_for(folder / "session", variables("web", here, database_url))
        command = [sys.executable, "-m", *COMPOSED["web"]["entrypoint"]]
        command[command.index("8080")] = str(web)
        server = Server(command, PROJECT, given, folder)
        stack.push_async_callback(server.stop)
        await server.answers(f"http://127.0.0.1:{web}")
        yield f"http://127.0.0.1:{web}"


async def serve(processes: Processes, service: str, environment: dict[str, str]) -> None:
    await processes.run_as(start, *COMPOSED[service]["command"], **environment).address()


def start(arguments: Any, files: Path, environment: dict[str, str]) -> ForkedProcess:
    """Starts `duly` in the folder of the example, as the image does in the folder of the package."""
    out, err = files.with_suffix(".out"), files.with_suffix(".err")
    return fork_server().start(arguments, environment=environment, stdout=out, stderr=err, folder=PROJECT)


def variables(service: str, here: dict[str, str], database_url: str) -> dict[str, str]:
    """Returns the environment of a service: that of the image and that of the compose file."""
    image = dict(re.findall(r"^ENV (\w+)=(\S+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE))
    composed = image | {"DULY_HOST": "127.0.0.1"} | COMPOSED[service]["environment"]
    if "DULY_DATABASE_URL" in composed:
        composed["DULY_DATABASE_URL"] = database_url
    return {name: _filled(text, here) for name, text in composed.items()}


def _filled(text: str, here: dict[str, str]) -> str:
    filled = re.sub(r"\$\{(\w+):\?\}", lambda found: SECRETS[found[1]], text)
    return here.get(filled, filled)
