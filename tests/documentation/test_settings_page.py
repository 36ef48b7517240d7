"""The page of settings against `Settings`: every variable with its default, and none that does not exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from duly.settings import Settings

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
# Variables that are read outside of `Settings`.
OF_COMMANDS: Final = {"DULY_URL", "DULY_DEMO_OUTPUT"}
# Defaults that depend on the machine, on other settings, or are described in words.
IN_WORDS: Final = {
    *("DULY_DATA_DIR", "DULY_DATABASE_SCHEMA", "DULY_CONNECTIONS_PER_ADDRESS"),
    *("DULY_WEBHOOK_SECRET", "DULY_SECRET_KEYS", "DULY_LOG_FORMAT"),
}
UNITS: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
ROW: Final = re.compile(r"^\| (?P<variables>`DULY_\w+`(?:, `DULY_\w+`)*) \|(?P<cells>.*)\|$", re.MULTILINE)


def rows() -> Iterator[tuple[str, str]]:
    """Yields each variable of the page with the text of its default."""
    for row in ROW.finditer(PAGE.read_text()):
        variables = re.findall(r"`(\w+)`", row["variables"])
        *_, default, _ = (cell.strip() for cell in row["cells"].split("|"))
        defaults = default.split(", ") if len(variables) == default.count(", ") + 1 else [default] * len(variables)
        yield from zip(variables, defaults, strict=True)


def shown(value: object) -> set[str]:
    """Returns the ways in which the page may write a default."""
    match value:
        case None | () | "":
            return {"none"}
        case bool():
            return {str(value).lower()}
        case int() | float():
            sizes = {f"{value / size:g} {unit}" for unit, size in UNITS.items()}
            return {f"{value:g}", str(value), *sizes}
        case tuple():
            return {",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)}
        case _:
            return {str(value)}


def test_the_page_lists_every_setting_and_no_other() -> None:
    listed = [variable for variable, _ in rows()]
    assert len(listed) == len(set(listed))
    assert set(listed) == {f"DULY_{name.upper()}" for name in Settings.model_fields} | OF_COMMANDS


def test_the_page_gives_the_default_of_every_setting() -> None:
    wrong = {
        variable: (default, value)
        for variable, default in rows()
        if variable not in IN_WORDS | OF_COMMANDS
        for value in [Settings.model_fields[variable.removeprefix("DULY_").lower()].get_default()]
        if re.sub(r"`| \(.*\)", "", default) not in shown(value)
    }
    assert wrong == {}
