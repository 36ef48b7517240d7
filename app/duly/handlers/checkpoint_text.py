"""Checkpoints as JSON text."""

import json

from pydantic_core import to_jsonable_python

from duly.domain.json_cleaning import clean
from duly.handlers.exceptions import HandlerError


class CheckpointText(str):
    """Checkpoint already serialized as JSON, in the process in which the handler runs."""

    __slots__ = ()


def write_checkpoint(value: object, *, limit: int, max_depth: int) -> str:
    """Returns the value as JSON text, with NUL and lone surrogates replaced by U+FFFD.

    Raises:
        HandlerError: the value is not JSON, is nested deeper than `max_depth`, or is larger than `limit` bytes.
    """
    if isinstance(value, CheckpointText):
        return str(value)
    try:
        plain = clean(to_jsonable_python(value), max_depth=max_depth)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise HandlerError(f"the checkpoint cannot be serialized as JSON: {error}") from None
    if (size := len(text.encode())) > limit:
        raise HandlerError(f"the checkpoint is too large ({size:,} bytes of JSON, limit {limit:,})")
    return text
