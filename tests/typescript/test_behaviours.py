"""The table of behaviours through the TypeScript client, in Node.js and in Chromium."""

from functools import partial

import pytest

from tests.client.behaviours.stage import TestedClient, staged
from tests.client.behaviours.table import BEHAVIOURS, Behaviour, name_of
from tests.support.service import running_service
from tests.support.typescript_client import Clients
from tests.support.webhook_receiver import Receiver


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=name_of)
async def test_the_client_behaves(
    clients: Clients, behaviour: Behaviour, database_url: str, receiver: Receiver
) -> None:
    async with staged(
        TestedClient("typescript", clients.open), partial(running_service, database_url), receiver
    ) as stage:
        await behaviour(stage)
