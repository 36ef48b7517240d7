"""Turns what can go wrong in a client command into one line on standard error and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from duly.cli.output import one_line
from duly.client import ApiError, Unreachable

FAILED, USAGE = 1, 2

_ADVICE = {
    401: "set DULY_API_KEY to a key of this service",
    403: "use a key with the scope that this needs",
}


class CommandLineError(Exception):
    """The command line itself is wrong; the text says what is, and what would do."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the command as its users expect: 1 refused or unreachable, 2 wrong command line.

    Ctrl-C needs nothing here: typer ends a command with 130, and quietly.
    """
    try:
        yield
    except CommandLineError as error:
        stop(str(error), code=USAGE)
    except Unreachable as error:
        stop(f'no service answers on {error.url} ({error.reason}); start one with "duly serve" or set DULY_URL')
    except ApiError as error:
        stop(_refusal(error))
    except TimeoutError as error:
        stop(str(error))


def stop(message: str, *, code: int = FAILED) -> NoReturn:
    """Say it in one line on standard error and end with this code."""
    print(f"duly: {one_line(message)}", file=sys.stderr)
    raise typer.Exit(code)


def _refusal(error: ApiError) -> str:
    faults = error.details.get("errors")
    parts = [error.message.rstrip(".")]
    if isinstance(faults, list) and faults:
        parts += [f"{fault.get('path')}: {fault.get('message')}" for fault in faults if isinstance(fault, dict)]
    elif error.details.get("reason"):
        parts.append(str(error.details["reason"]).rstrip("."))
    if error.status in _ADVICE:
        parts.append(_ADVICE[error.status])
    return f"{'; '.join(parts)} ({error.code})"
