"""A checkpoint as text: what a handler wants its job's next attempt to know."""

import json

from pydantic_core import to_jsonable_python

from duly.domain.json_value import clean
from duly.handlers.exceptions import HandlerError


class CheckpointText(str):
    """A checkpoint that was written as JSON text already, in the process where its handler runs."""

    __slots__ = ()


def write_checkpoint(value: object, *, limit: int, max_depth: int) -> str:
    """The value as JSON text, NUL and lone surrogates replaced by U+FFFD; models and dates as in a result.

    Raises:
        HandlerError: it is not JSON, is nested deeper than `max_depth`, or is larger than `limit` bytes.
    """
    if isinstance(value, CheckpointText):
        return str(value)
    try:
        plain = clean(to_jsonable_python(value), max_depth=max_depth)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise HandlerError(f"the checkpoint is not JSON: {error}") from None
    if (size := len(text.encode())) > limit:
        raise HandlerError(f"the checkpoint has {size:,} bytes as JSON; {limit:,} are allowed")
    return text
