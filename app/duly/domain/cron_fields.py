"""Fields of a cron expression: names and bounds, valid steps, and the plain form that cronsim reads
correctly.

cronsim takes a step after a single day of the week up to 7, so that it includes Sunday; a step after a range of one
value to the end of the field; and it accepts steps that never match or have no effect.
"""

import re
from typing import Final, NamedTuple


class CronField(NamedTuple):
    """Field of an expression: its name, the largest value, and the names of its values from `first` on."""

    name: str
    largest: int
    names: tuple[str, ...] = ()
    first: int = 0

    def number(self, text: str) -> int | None:
        """Returns the value of a number or a name; None for any other text."""
        if text.upper() in self.names:
            return self.first + self.names.index(text.upper())
        return int(text) if text.isascii() and text.isdigit() else None


FIELDS: Final = (
    CronField("second", 59),
    CronField("minute", 59),
    CronField("hour", 23),
    CronField("day of month", 31),
    CronField("month", 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), 1),
    CronField("day of week", 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
)
# The last day, the last working day, the last and the nth of a weekday.
_LAST_OR_NTH = re.compile(r"LW?|[0-9]+L|.*#.*", re.IGNORECASE)
WEEKDAY, SATURDAY = 5, 6
DAYS_IN_A_WEEK = 7


def step_refusal(text: str, index: int) -> str | None:
    """Returns the error of the first invalid step of this field; None if all steps are valid."""
    field = FIELDS[index]
    for item in text.split(","):
        of, slash, step = item.partition("/")
        if not slash:
            continue
        if _LAST_OR_NTH.fullmatch(of):
            return f'has "{item}" for its {field.name}; "{of}" takes no step'
        if (number := _digits(step)) is not None and not 1 <= number <= field.largest:
            return f'has "{item}" for its {field.name}; a step there is between 1 and {field.largest}'
    return None


def range_refusal(text: str, index: int) -> str | None:
    """Returns the error of the first range of this field that ends before it begins; None if there is none."""
    field = FIELDS[index]
    for item in text.split(","):
        first, last = _bounds(item.partition("/")[0], field)
        if first is not None and last is not None and last < first:
            return f'has "{item}" for its {field.name}; a range may not end before it begins: write two, with a comma'
    return None


def plain(text: str, index: int) -> str:
    """Returns the field in a form that all cron implementations read alike. Invalid items are not changed."""
    return ",".join(_plain(item, index) for item in text.split(","))


def _plain(item: str, index: int) -> str:
    of, slash, step = item.partition("/")
    if not slash or not _digits(step):
        return item
    field = FIELDS[index]
    first, last = _bounds(of, field)
    if first is not None and first == last:
        return of.partition("-")[0]
    if index == WEEKDAY and (day := field.number(of)) is not None and day <= DAYS_IN_A_WEEK:
        day %= DAYS_IN_A_WEEK
        return f"{day}-{SATURDAY}/{step}" if day < SATURDAY else str(day)
    return item


def _bounds(of: str, field: CronField) -> tuple[int | None, int | None]:
    """Returns the first and the last value of a range; None for text that is not a range or not a value."""
    first, dash, last = of.partition("-")
    return (field.number(first), field.number(last)) if dash else (None, None)


def _digits(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
