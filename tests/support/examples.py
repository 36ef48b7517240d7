"""Runs an example as its README says: `python examples/run.py NAME`, on the database of the test."""

import asyncio
import os
import sys
from pathlib import Path

from tests.support.markdown_blocks import ROOT
from tests.support.service import SECRET_KEYS

RUN = ROOT / "examples" / "run.py"


async def run_example(name: str, *options: str, database_url: str, output: Path) -> str:
    """Returns what the example printed. Fails unless it exits with 0; stops it with the test."""
    variables = os.environ | {"EXAMPLES_DATABASE_URL": database_url, "DULY_SECRET_KEYS": SECRET_KEYS}
    with output.open("wb") as file:
        command = (sys.executable, str(RUN), name, *options)
        process = await asyncio.create_subprocess_exec(*command, env=variables, stdout=file, stderr=file)
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    printed = output.read_text()
    assert code == 0, f"{name} exited with {code}:\n{printed}"
    return printed
