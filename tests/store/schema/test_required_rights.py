"""The rights of the serving role."""

from duly.store.schema.required_rights import TABLES
from duly.store.schema.tables import metadata


def test_the_rights_are_those_of_all_tables() -> None:
    assert sorted(TABLES) == sorted([*metadata.tables, "alembic_version"])
