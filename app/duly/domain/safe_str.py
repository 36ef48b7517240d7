"""Text of a handler's value, for which no method of the value is trusted."""


def shown(value: object) -> str:
    """Returns `str(value)`, or a note in its place where that raises."""
    try:
        return str.__str__(str(value))  # exactly a str: a subclass may fail later
    except BaseException:  # noqa: BLE001  # `__str__` of a handler's own may raise anything, `SystemExit` too
        return "(its text cannot be shown)"
