"""Programs of an example that a test starts one by one."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from tests.support.markdown_blocks import ROOT
from tests.support.service import NO_TLS, eventually

_START_SECONDS: Final = 120.0


@asynccontextmanager
async def running_module(example: str, *command: str, url: str, **variables: str) -> AsyncIterator[None]:
    """Runs `python -m` with this command in the folder of an example, and waits until `url` responds."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    outer.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles every library
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command), cwd=ROOT / "examples" / example, env=outer | variables, stdin=DEVNULL
    )
    try:
        async with httpx.AsyncClient(timeout=60, verify=NO_TLS) as client:

            async def responds() -> bool:
                assert process.returncode is None, f"{command} has ended with {process.returncode}"
                try:
                    return (await client.get(url)).is_success
                except httpx.TransportError:
                    return False

            await eventually(responds, seconds=_START_SECONDS)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
