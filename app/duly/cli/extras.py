"""Extras of the distribution that commands need beyond `pip install duly`."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Ends the command with exit code 2 and the remedy where a package of this extra is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "duly").partition(".")[0]
        if missing == "duly":
            raise
        from duly.cli.errors import USAGE, stop  # noqa: PLC0415  # needed only here

        stop(f'{missing} is not installed, which this command needs; run: pip install "duly[{extra}]"', code=USAGE)
