"""Names of the built-in job types, and the choice of a service among them."""

from collections.abc import Sequence

BUILTIN_TYPES = ("echo", "http.request", "sleep")
ALL, NONE = "all", "none"


def chosen_builtin_types(words: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the chosen types, sorted.

    Args:
        words: names of types, or `all` or `none` alone.

    Raises:
        ValueError: a name is unknown, or `all` or `none` is not alone.
    """
    for word, meaning in ((ALL, BUILTIN_TYPES), (NONE, ())):
        if word in words:
            if len(set(words)) > 1:
                raise ValueError(f"{word!r} must be the only value")
            return meaning
    for word in words:
        if word not in BUILTIN_TYPES:
            raise ValueError(
                f"{word!r} is not a built-in job type; the built-in types are {', '.join(BUILTIN_TYPES)} "
                f"(or one of {ALL}, {NONE})"
            )
    return tuple(sorted(set(words)))
