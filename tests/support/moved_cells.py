"""Runs the commands of the documentation that move a cell, against servers of a test."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from duly.embedded.folder import programs
from tests.support.markdown_blocks import blocks

PAGE = "docs/operate/cells.md"
BOUND_SECONDS = 120.0


def commands(beginning: str) -> str:
    """Returns the block of the page whose text begins so."""
    [found] = [block.text for block in blocks(PAGE) if block.language == "sh" and block.text.startswith(beginning)]
    return found


async def run_commands(beginning: str, values: Mapping[str, str], folder: Path) -> str:
    """Runs a block in bash with these variables, and returns its output; the first failed command ends it."""
    environment = {**os.environ, **values, "PATH": f"{programs()}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", commands(beginning)),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), BOUND_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output.decode()
    return output.decode()
