"""Arguments of the client commands: name=value pairs, JSON, output format and the URL of the service."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from duly.cli.completions import complete_jobs
from duly.cli.errors import CommandLineError
from duly.client.default_url import DEFAULT_URL
from duly.secret_file import api_key_of_environment

if TYPE_CHECKING:
    from duly.cli.terminal_client import TerminalClient

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Job ID.", show_default=False, autocompletion=complete_jobs)]
Url = Annotated[str, typer.Option("--url", envvar="DULY_URL", help="URL of the service.")]
Output = Annotated[str, typer.Option("--output", "-o", metavar="text|json", help="Output format (default: text).")]
AsJson = Annotated[bool, typer.Option("--json", help="Same as --output json.")]


def connect(url: str) -> "TerminalClient":
    """Returns a client of the service. The API key comes from DULY_API_KEY or its file, since other users can see
    command lines.
    """
    from duly.cli.terminal_client import TerminalClient  # noqa: PLC0415  # imports httpx, which `--help` does without

    try:
        return TerminalClient(url or DEFAULT_URL, api_key=api_key_of_environment())
    except ValueError as error:
        raise CommandLineError(f"{error}; see --url, DULY_URL and DULY_API_KEY") from error


def wants_json(output: str, *, as_json: bool) -> bool:
    """Returns True if the output is JSON."""
    if output not in {"text", "json"}:
        raise CommandLineError(f"--output must be text or json, not {output!r}")
    return as_json or output == "json"


def read_parameters(pairs: Sequence[str], *, json_source: str | None) -> object:
    """Returns the parameters: the JSON document merged with each --param, or None without either."""
    document = None if json_source is None else read_json_value(json_source, option="--json")
    if not pairs:
        return document
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise CommandLineError("--param needs a JSON object in --json; use one of the two options")
    return document | {name: _value(text) for name, text in _split(pairs, option="--param").items()}


def read_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Returns the labels; their values are text."""
    return _split(pairs, option="--label")


def _split(pairs: Sequence[str], *, option: str) -> dict[str, str]:
    split = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise CommandLineError(f"{option} must be NAME=VALUE, not {pair!r}")
        split[name] = value
    return split


def _value(text: str) -> Any:
    try:
        return _strict_json(text)
    except (ValueError, RecursionError):
        return text


def read_json_value(source: str, *, option: str) -> Any:
    """Returns the JSON value of an option: literal, `@FILE`, or `-` for standard input."""
    text = _text_of(source, option)
    try:
        return _strict_json(text)
    except RecursionError as error:
        raise CommandLineError(f"{option} is nested too deeply") from error
    except ValueError as error:
        raise CommandLineError(
            f"{option} is not valid JSON: {error}; use @FILE for a file, - for standard input"
        ) from error


def _text_of(source: str, option: str) -> str:
    if source not in {"-", "@-"} and not source.startswith("@"):
        return source
    try:
        return sys.stdin.read() if source in {"-", "@-"} else Path(source[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandLineError(f"{option} cannot read {source[1:]!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandLineError(f"{option} {source} is not UTF-8 text") from error


def _strict_json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")
