"""Services for workers over HTTP: they run no handlers themselves."""

from collections.abc import Awaitable, Callable

import pytest

from tests.support.service import Service

WITHOUT_HANDLERS = ("api", "sweeper", "dispatcher")
StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def api(start_service: StartService) -> Service:
    """Returns a service without the role `worker`."""
    return await start_service(roles=WITHOUT_HANDLERS)
