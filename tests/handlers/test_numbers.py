"""Decimals in parameters get every digit that was sent, and nothing else is read otherwise than before."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from duly.handlers.parameter_numbers import number_reader

DIGITS = ["12345678901234567.89", "0.10", "1e-400", "-0", "-0.00", "1E+2", "123456789012345678901234567890.5", "0.1"]


class Line(BaseModel):
    price: Decimal
    share: float = 0.0
    text: str = ""
    other: Any = None


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    price: Annotated[Decimal, Field(max_digits=500)]


class Tree(BaseModel):
    type: Literal["tree"] = "tree"
    own: Decimal | None = None
    below: list["Tree"] = []


def same(read: object, number: str) -> bool:
    return isinstance(read, Decimal) and read.as_tuple() == Decimal(number).as_tuple()


@pytest.mark.parametrize("number", DIGITS)
def test_every_digit_arrives_wherever_a_decimal_stands(number: str) -> None:
    cases: list[tuple[Any, str, Any]] = [
        (Decimal, "%s", lambda read: read),
        (list[Decimal], "[1, %s]", lambda read: read[1]),
        (dict[str, Decimal], '{"a\\"1.5": %s}', lambda read: read['a"1.5']),
        (Line, '{"price": %s, "text": "0.10"}', lambda read: read.price),
        (Strict, '{"price":%s}', lambda read: read.price),
        (Tree, '{"below": [{"below": [{"own": %s}]}]}', lambda read: read.below[0].below[0].own),
        (Line | Tree, '{"price": %s}', lambda read: read.price),
        (tuple[float, Decimal], "[1.50, %s]", lambda read: read[1]),
    ]
    for annotation, text, place in cases:
        reader = number_reader(TypeAdapter(annotation))
        assert reader is not None
        assert same(place(reader.read(text.replace("%s", number))), number), (annotation, number)


def test_numbers_that_are_one_double_are_kept_apart() -> None:
    reader = number_reader(TypeAdapter(list[Decimal]))
    assert reader is not None
    numbers = ["12345678901234567.89", "12345678901234567.88", "0.1", "0.10", "0.1"]
    assert [str(read) for read in reader.read(f"[{','.join(numbers)}]")] == numbers


def test_what_is_no_decimal_is_read_as_before() -> None:
    reader = number_reader(TypeAdapter(Line))
    assert reader is not None
    text = '{"price": 0.10, "share": 0.10, "text": "x0.10", "other": {"a": [0.10, 1e2, "1.5"]}}'
    read = reader.read(text)
    assert read == Line(price=Decimal("0.10"), share=0.1, text="x0.10", other={"a": [0.1, 100.0, "1.5"]})
    assert type(read.share) is float


@pytest.mark.parametrize(
    "text", ['{"price": "x"}', '{"price": 0.10, "share": "x"}', "[]", '{"price": 0.1, "text": 0.10}']
)
def test_what_does_not_fit_is_refused_as_before(text: str) -> None:
    adapter = TypeAdapter(Line)
    reader = number_reader(adapter)
    assert reader is not None
    with pytest.raises(ValueError, match="validation error") as here:
        reader.read(text)
    with pytest.raises(ValueError, match="validation error") as plain:
        adapter.validate_json(text)
    assert [each["loc"] for each in here.value.errors()] == [each["loc"] for each in plain.value.errors()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("annotation", [Decimal | float, str | Decimal, dict[str, int | float | Decimal]])
def test_a_number_that_may_be_of_several_types_is_left_to_pydantic(annotation: Any) -> None:
    assert number_reader(TypeAdapter(annotation)) is None


@pytest.mark.parametrize("annotation", [Any, int, dict[str, str]])
def test_a_type_without_decimals_and_doubles_has_no_reader(annotation: Any) -> None:
    assert number_reader(TypeAdapter(annotation)) is None


@pytest.mark.parametrize("number", ["1e-400", "-1E-400", "0.001e-330", "0." + "0" * 400 + "1", "12345e-999999"])
def test_what_no_double_holds_is_refused_where_a_double_is_needed(number: str) -> None:
    cases: list[tuple[Any, str, tuple[str | int, ...]]] = [
        (float, "%s", ()),
        (list[float], "[1, %s]", (1,)),
        (Line, '{"price": 0.10, "share": %s, "other": %s}', ("share",)),
        (dict[str, Line], '{"a": {"price": %s, "share": %s}}', ("a", "share")),
    ]
    for annotation, text, place in cases:
        reader = number_reader(TypeAdapter(annotation))
        assert reader is not None
        with pytest.raises(ValidationError, match="too small for a double") as refused:
            reader.read(text.replace("%s", number))
        assert [each["loc"] for each in refused.value.errors()] == [place]


@pytest.mark.parametrize("number", ["0e-400", "-0.0e-999", "0.000", "1e-300", "5e-324", "0." + "0" * 300])
def test_what_a_double_holds_is_read(number: str) -> None:
    reader = number_reader(TypeAdapter(Line))
    assert reader is not None
    read = reader.read(f'{{"price": 1, "share": {number}, "text": "1e-400", "other": 1e-400}}')
    assert (read.share, read.other) == (float(number), 0.0)
