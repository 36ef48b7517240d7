"""Counts with their nouns, for messages."""


def counted_noun(count: int, singular: str, plural: str | None = None) -> str:
    """Returns a count with its noun, such as `1 job` or `2,400 jobs`; without `plural`, an `s` is appended."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
