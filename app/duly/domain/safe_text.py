"""The text of a value that a handler made, whatever its own methods do."""


def shown(value: object) -> str:
    """Returns `str(value)`, or a note in its place where that raises."""
    try:
        return str.__str__(str(value))  # exactly a str: a subclass may fail later
    except BaseException:  # noqa: BLE001  # `__str__` of a handler's own may raise anything, `SystemExit` too
        return "(its text cannot be shown)"
