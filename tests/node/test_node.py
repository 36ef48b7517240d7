"""A node opens nothing before it starts."""

from pydantic import SecretStr

from duly.handlers.discovery import load_registry
from duly.node import Node
from duly.settings import Settings
from duly.store.postgres.database import Database
from tests.support.service import KEYRING


def test_a_node_is_composed_without_an_event_loop_and_without_a_database() -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    settings = Settings(database_url=SecretStr(url))
    node = Node(settings, Database(url), load_registry(()), webhook_secret="whsec_dGVzdA==", keyring=KEYRING)
    assert "claim" in {loop.name for loop in node.loops}
