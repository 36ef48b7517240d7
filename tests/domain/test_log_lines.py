"""Every log line of a handler becomes one that Postgres and JSON can store, of limited size."""

import json
from decimal import Decimal

import pytest

from duly.domain.log_lines import FIELDS_LIMIT, LEVELS, MOST_FIELDS, fields_text, message_text


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_plain_fields_stay_what_they_are() -> None:
    fields = {"text": "a", "number": 1.5, "none": None, "list": [1, {"a": True}], "emoji": "😀", "long": 10**30}
    assert json.loads(fields_text(fields) or "") == fields


def test_no_fields_are_no_text() -> None:
    assert fields_text({}) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("1.50"), "1.50"),
        ([Decimal(2)], ["2"]),
        (float("nan"), "nan"),
        ({(1, 2): "pair"}, "{(1, 2): 'pair'}"),
        (Unprintable(), "(cannot be shown)"),
        ("nul \x00 lone \ud800", "nul \ufffd lone \ufffd"),
        ([10**5000], "(cannot be shown)"),
    ],
)
def test_what_is_no_json_is_put_as_its_text(value: object, shown: object) -> None:
    assert json.loads(fields_text({"value": value, "other": 1}) or "") == {"value": shown, "other": 1}


def test_a_name_is_cleaned_too() -> None:
    assert json.loads(fields_text({"a\x00": 1}) or "") == {"a\ufffd": 1}


def test_long_fields_are_cut_and_many_are_counted_out() -> None:
    fields = {f"field{number}": "x" * 1_000 for number in range(50)}
    text = fields_text(fields)
    assert text is not None
    assert len(text) < FIELDS_LIMIT
    kept = json.loads(text)
    assert list(kept) == [f"field{number}" for number in range(MOST_FIELDS)]
    assert all(value.startswith('"xxx') and len(value) == 200 for value in kept.values())


def test_fields_at_the_limit_stay_whole() -> None:
    value = "x" * (FIELDS_LIMIT - len("name") - 2)
    assert json.loads(fields_text({"name": value}) or "") == {"name": value}
    assert json.loads(fields_text({"name": value + "x"}) or "") != {"name": value + "x"}


def test_a_message_is_cleaned_and_cut() -> None:
    assert message_text("nul \x00 lone \ud800") == "nul \ufffd lone \ufffd"
    assert message_text(404) == "404"
    assert message_text(Unprintable()) == "(cannot be shown)"
    assert len(message_text("x" * 10_000)) == 8_000
    assert message_text("x" * 10_000).endswith("[10,000 characters in all]")


def test_levels_are_those_of_pythons_logging() -> None:
    assert {name: int(level) for name, level in LEVELS.items()} == {
        "debug": 10,
        "info": 20,
        "warning": 30,
        "error": 40,
    }
