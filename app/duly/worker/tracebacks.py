"""Tracebacks: where an error of a handler arose, without local variables, whatever the error's own methods do."""

import traceback

TRACEBACK_LIMIT = 64_000


def traceback_text(error: BaseException) -> str:
    """The whole traceback as Python prints it; of one longer than 64,000 characters the beginning and the end."""
    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except BaseException as unprintable:  # noqa: BLE001  # attributes of a handler's exception may raise anything
        return f"(the traceback cannot be shown: {type(unprintable).__name__})"
    if len(text) > TRACEBACK_LIMIT:
        half = TRACEBACK_LIMIT // 2
        return f"{text[:half]}\n… [{len(text):,} characters in all]\n{text[-half:]}"
    return text
