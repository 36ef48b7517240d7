"""The page of the data model shows the tables as they are declared."""

from tests import data_model


def test_every_table_is_in_one_topic() -> None:
    assert data_model.missing_tables() == set()


def test_references_name_columns_that_exist() -> None:
    assert data_model.wrong_references() == []


def test_the_page_is_what_the_tables_declare() -> None:
    assert data_model.PAGE.read_text() == data_model.page(), "run: python -m tests.data_model"
