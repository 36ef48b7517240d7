"""Names of types, made from any text."""

import re

_WORD = re.compile(r"[A-Za-z0-9]+")


class Names:
    """Names of one file: each is a different identifier in ASCII that begins with a capital letter."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, text: str) -> str:
        """Returns a name that resembles the text."""
        name = wanted = pascal_case(text)
        number = 2
        while name.lower() in self._taken:
            name = f"{wanted}{number}"
            number += 1
        self._taken.add(name.lower())
        return name


def pascal_case(text: str) -> str:
    """Returns the letters and digits of a text as one word: `report-generation` becomes `ReportGeneration`."""
    words = "".join(word[0].upper() + word[1:] for word in _WORD.findall(text))
    return words if words[:1].isalpha() else f"Type{words}"


def one_line(text: str) -> str:
    """Returns a description on one line, without characters that cannot be printed."""
    spaced = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(spaced.split())
