"""Errors of commands: one line on standard error and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from duly.client.errors import ApiError, Unreachable
from duly.domain.safe_str import one_line

FAILED, USAGE = 1, 2

_ADVICE = {
    401: "set DULY_API_KEY to an API key of this service",
    403: "use an API key with the required scope",
}


class CommandLineError(Exception):
    """Wrong command line. The message says what is wrong and what is expected."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the command with 1 if the service refused or is unreachable, with 2 if the command line is wrong.

    Ctrl-C needs no code here: typer exits with 130.
    """
    try:
        yield
    except CommandLineError as error:
        stop(str(error), code=USAGE)
    except Unreachable as error:
        stop(f'no service at {error.url} ({error.reason}); start one with "duly serve" or set DULY_URL')
    except ApiError as error:
        stop(refusal_words(error))
    except TimeoutError as error:
        stop(str(error))


def stop(message: str, *, code: int = FAILED) -> NoReturn:
    """Prints the message on one line of standard error and exits with the code."""
    say(message)
    raise typer.Exit(code)


def say(message: str) -> None:
    """Prints one line on standard error; the command continues."""
    print(f"duly: {one_line(message)}", file=sys.stderr, flush=True)


def refusal_words(error: ApiError) -> str:
    """Returns the reasons of a refusal, its code, and the remedy for a key."""
    errors = error.details.get("errors")
    message = error.message.rstrip(".")
    parts = [message]
    if isinstance(errors, list) and len(errors) > 1:  # the message is the first of them
        parts = [f"{each.get('path')}: {each.get('message')}" for each in errors if isinstance(each, dict)]
    elif error.code != "VALIDATION_FAILED":  # there the reason is the same for all errors
        parts += {str(error.details.get("reason") or "").rstrip(".")} - {"", message}
    if error.status in _ADVICE:
        parts.append(_ADVICE[error.status])
    return f"{'; '.join(parts)} ({error.code})"
