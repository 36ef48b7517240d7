"""Application of the tutorial: its files, its servers, and the requests of its web page."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from tests.support.markdown_blocks import ROOT
from tests.support.service import BOUND_SECONDS, NO_TLS, eventually
from tests.support.service_process import READY_SECONDS

PROJECT: Final = ROOT / "examples" / "tutorial"
# Files that running the example creates.
LEFT_BEHIND: Final = shutil.ignore_patterns("__pycache__", "*.egg-info", ".venv", ".env", ".*_cache")
_REPORT: Final = {"startDate": "2026-03-01", "endDate": "2026-03-03"}


class Server:
    """Server in its own process group."""

    def __init__(self, command: Sequence[str], folder: Path, variables: Mapping[str, str], logs: Path) -> None:
        self._log = logs / f"{os.urandom(4).hex()}.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=folder, env=variables, stdout=output, stderr=output, start_new_session=True
            )

    async def answers(self, url: str) -> None:
        """Waits until the server responds with 200 at this URL; fails if it ends before."""

        async def ready() -> bool:
            assert self._process.poll() is None, f"the server has ended: {self._log.read_text()}"
            with suppress(httpx.TransportError):
                return (await client.get(url)).status_code == 200
            return False

        async with httpx.AsyncClient(timeout=60, verify=NO_TLS) as client:
            await eventually(ready, seconds=READY_SECONDS)

    async def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        await asyncio.to_thread(self._process.wait, BOUND_SECONDS)


async def work_like_the_page(shop: str) -> str:
    """Acts as the web page, with its origin: submits a report twice, follows it, and returns its id."""
    async with httpx.AsyncClient(base_url=shop, timeout=60, verify=NO_TLS) as page:
        assert "EventSource" in (await page.get("/")).text
        request = {"requestId": "0f8fad5b-d9cb-469f-a165-70867728950e", **_REPORT}
        first, second = [(await page.post("/reports", json=request)).json() for _ in range(2)]
        assert first == second
        wrong = await page.post("/reports", json=request | {"endDate": "2026-02-01"})
        assert (wrong.status_code, wrong.json()["detail"]["code"]) == (422, "VALIDATION_FAILED")
        stream = (await page.post(f"/reports/{first['jobId']}/stream")).json()["url"]
        response = await page.get(f"{stream}&lastEventId=", headers={"Origin": shop})
        assert response.headers["access-control-allow-origin"] == shop
        frames = [json.loads(data) for data in re.findall(r"^data: (.*)$", response.text, re.MULTILINE)]
        assert [frame["message"] for frame in frames if frame["type"] == "job_progress"][-1] == "day 3 of 3"
        assert frames[-1]["type"] == "job_completed"
        assert (await page.get(stream, headers={"Origin": shop})).status_code == 401
        return str(first["jobId"])
