"""Text from outside: of a handler's value, for which no method of the value is trusted, and on one line."""

import unicodedata


def shown(value: object) -> str:
    """Returns `str(value)`, or a note in its place where that raises."""
    try:
        return str.__str__(str(value))  # exactly a str: a subclass may fail later
    except BaseException:  # noqa: BLE001  # `__str__` of a handler's own may raise anything, `SystemExit` too
        return "(its text cannot be shown)"


def one_line(text: str) -> str:
    """Returns the text on one line, with control characters escaped.

    Messages come from handlers and receivers: an escape sequence in one must not control the terminal.
    """
    return text if text.isprintable() else "".join(map(_seen, text))


def without_controls(text: str) -> str:
    """Returns the text with its line breaks, and with all other control characters escaped."""
    return "\n".join(map(one_line, text.split("\n")))


def _seen(character: str) -> str:
    if character.isspace():
        return " "
    is_control = unicodedata.category(character).startswith("C")
    return character.encode("unicode_escape").decode("ascii") if is_control else character
