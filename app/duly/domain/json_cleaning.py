"""Cleaning of text and JSON from handlers and receivers: U+FFFD replaces what Postgres and UTF-8 cannot store."""

import re

from duly.domain.unstorable_json import UNFIT

# A surrogate pair, else an escape that cannot be stored, else any escape: an escaped backslash is consumed with its
# second half, so that a following `u` is a letter.
_ESCAPE = re.compile(r"(?i:\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(?P<unfit>\\u(?:0000|d[89a-f][0-9a-f]{2})))|\\.")


def clean_text(text: str) -> str:
    """Returns the text with U+FFFD in place of each U+0000 and each surrogate."""
    if "\0" not in text and text.isascii():
        return text
    return UNFIT.sub("\ufffd", text)


def clean_json_text(json_text: str) -> str:
    """Returns JSON text with U+FFFD in place of each U+0000 and lone surrogate, escaped or not; pairs are kept.

    Names that become equal are both kept in the text: a reader uses the later one.
    """
    json_text = clean_text(json_text)
    if "\\u" not in json_text:
        return json_text
    return _ESCAPE.sub(lambda found: "\ufffd" if found.lastgroup else found[0], json_text)


def clean(value: object, *, max_depth: int = 64) -> object:
    """Returns a copy with every text and name cleaned as by `clean_text`; of names that become equal the later is kept.

    Numbers are not changed: the caller decides whether NaN is an error.

    Raises:
        ValueError: the value is nested deeper than `max_depth`.
    """
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, (dict, list, tuple)):
        return value
    if max_depth < 1:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        names = (clean_text(name) if isinstance(name, str) else name for name in value)
        return {name: clean(item, max_depth=max_depth - 1) for name, item in zip(names, value.values(), strict=True)}
    return [clean(item, max_depth=max_depth - 1) for item in value]


def truncate_text(text: str, limit: int) -> str:
    """Returns at most `limit` characters: the beginning of the text, and its full length as a note."""
    if len(text) <= limit:
        return text
    note = f"… [{len(text):,} characters in all]"
    return (text[: max(limit - len(note), 0)] + note)[:limit]
