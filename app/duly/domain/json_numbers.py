"""JSON numbers that keep their digits, for those that Python would write differently."""

import math
import sys

import orjson

from duly.domain.unstorable_json import Misfit


class NumberText:
    """Number with its text: `0.10`, `1e-400`, `-0`, more digits than a double holds.

    Not a dataclass, tuple or float, because JSON encoders would write those by their own rules.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NumberText) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"NumberText({self.text!r})"


def integer_of(digits: str) -> int | NumberText | Misfit:
    """Returns the value of a JSON integer; for `json.loads(parse_int=…)`."""
    length, limit = len(digits.lstrip("-")), sys.get_int_max_str_digits() or 4300
    if length > limit:
        return Misfit(f"an integer of {length} digits; at most {limit} are read")
    return NumberText(digits) if digits == "-0" else int(digits)


def number_of(text: str) -> float | NumberText:
    """Returns the value of a JSON number with a fraction or exponent; for `json.loads(parse_float=…)`."""
    number = float(text)
    alike = repr(number) == text and orjson.dumps(number).decode() == text
    return number if alike or not math.isfinite(number) else NumberText(text)


def canonical_number(number: NumberText) -> str:
    """Returns the number as Python writes the double, if orjson writes it with these digits; otherwise its text."""
    double = float(number.text)
    return repr(double) if orjson.dumps(double).decode() == number.text else number.text


def plain_number(value: float | None) -> float | int | None:
    """Returns a whole number as an integer: 25, not 25.0."""
    return int(value) if value is not None and value == int(value) else value
