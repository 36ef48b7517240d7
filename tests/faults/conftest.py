"""Fixtures for faults: services in processes of their own, and a database server that a test may stop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.service_process import Gates, Processes, starting_processes


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    """Starts services; at the end of the test none of them is left."""
    async with starting_processes(tmp_path) as running:
        yield running


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    """The signals of handlers that run in other processes."""
    folder = tmp_path / "gates"
    folder.mkdir()
    return Gates(folder)
