"""The table of behaviours through the Python clients."""

from functools import partial

import pytest

from tests.client.behaviours.stage import PYTHON_CLIENTS, TestedClient, staged
from tests.client.behaviours.table import BEHAVIOURS, Behaviour, name_of
from tests.support.service import running_service
from tests.support.webhook_receiver import Receiver


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=name_of)
@pytest.mark.parametrize("client", PYTHON_CLIENTS, ids=lambda client: client.name)
async def test_a_client_behaves(
    client: TestedClient, behaviour: Behaviour, database_url: str, receiver: Receiver
) -> None:
    async with staged(client, partial(running_service, database_url), receiver) as stage:
        await behaviour(stage)
