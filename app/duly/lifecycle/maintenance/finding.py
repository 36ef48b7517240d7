"""Finding of `duly doctor`."""

from typing import NamedTuple


class Finding(NamedTuple):
    """A problem in one sentence, and its remedy."""

    code: str
    reason: str
    remedy: str
