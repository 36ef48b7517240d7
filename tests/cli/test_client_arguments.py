"""Arguments of the client commands."""

from pathlib import Path

import pytest

from duly.cli.client_arguments import connect, read_labels, read_parameters, wants_json
from duly.cli.errors import CommandLineError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("1.5e3", 1500.0),
        ("true", True),
        ("null", None),
        ("[1,2]", [1, 2]),
        ('{"a":1}', {"a": 1}),
        ('"5"', "5"),
        ("2015-01-31", "2015-01-31"),
        ("a=b", "a=b"),
        ("NaN", "NaN"),
        ("", ""),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_a_value_is_read_as_json_where_it_is_json_and_else_as_text(text: str, value: object) -> None:
    assert read_parameters([f"name={text}"], json_source=None) == {"name": value}


def test_without_parameters_there_are_none() -> None:
    assert read_parameters([], json_source=None) is None


def test_a_document_need_not_be_an_object() -> None:
    assert read_parameters([], json_source="[1, null]") == [1, None]


def test_label_values_stay_text() -> None:
    assert read_labels(["a=5", "b=x=y"]) == {"a": "5", "b": "x=y"}


@pytest.mark.parametrize(
    ("pairs", "source"),
    [
        (["novalue"], None),
        (["=5"], None),
        ([], "{"),
        ([], "NaN"),
        ([], ""),
        ([], "@no-such-file"),
        ([], "[" * 100_000),
        (["a=1"], "[1]"),
    ],
)
def test_parameters_that_cannot_be_read_are_refused(pairs: list[str], source: str | None) -> None:
    with pytest.raises(CommandLineError, match=r"--(param|json)"):
        read_parameters(pairs, json_source=source)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(CommandLineError, match="not UTF-8"):
        read_parameters([], json_source=f"@{tmp_path / 'x'}")


def test_a_label_without_a_value_is_refused() -> None:
    with pytest.raises(CommandLineError, match="--label"):
        read_labels(["novalue"])


def test_output_is_text_or_json() -> None:
    assert (wants_json("json", as_json=False), wants_json("text", as_json=True)) == (True, True)
    assert not wants_json("text", as_json=False)
    with pytest.raises(CommandLineError, match="'xml'"):
        wants_json("xml", as_json=False)


def test_an_address_that_is_no_url_is_refused() -> None:
    with pytest.raises(CommandLineError, match="localhost:8000"):
        connect("localhost:8000")
