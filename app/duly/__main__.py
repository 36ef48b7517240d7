"""Entry point of `duly` and `python -m duly`, with the list of commands."""

import gc
import io
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

# By default the collector runs after every 700 new objects; importing a service makes many times that, and keeps them.
_YOUNG_OBJECTS = 50_000
# Names of commands that a function cannot have.
_NAMES = {"list_jobs": "list"}


def main() -> None:
    """Runs the console script `duly`."""
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
    # Handler modules are found in the working directory, as with `python -m`; a console script does not search it.
    if "" not in sys.path:
        sys.path.insert(0, "")
    # A terminal that cannot show a character gets its escape sequence instead of a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _check_arguments()
    application(*sys.argv[1:2])(prog_name="duly")  # the same under `python -m`, as scripts of completion call it


def _check_arguments() -> None:
    """Ends the program with 2 if an argument is not UTF-8: Python passes each other byte as a lone surrogate."""
    for argument in sys.argv[1:]:
        try:
            argument.encode()
        except UnicodeEncodeError:
            print(f"duly: the argument {argument!r} is not UTF-8", file=sys.stderr)
            sys.exit(2)


def application(command: str | None = None) -> typer.Typer:
    """Returns the command line application. For `serve`, it has no other command: a service does without them."""
    from duly.cli.operator_commands import serve  # noqa: PLC0415  # keeps `--version` fast

    app = typer.Typer(
        name="duly",
        help="Duly: an HTTP async-job service on Postgres.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(serve)
    app.callback()(_root)
    if command != serve.__name__:
        _add_others(app)
    return app


def _add_others(app: typer.Typer) -> None:
    """Adds all commands but `serve`."""
    from duly.cli.access_commands import keys, submitters, tenants  # noqa: PLC0415
    from duly.cli.delivery_commands import deliveries, endpoints  # noqa: PLC0415
    from duly.cli.hold_commands import holds  # noqa: PLC0415
    from duly.cli.job_commands import logs, signal, status, steps, submit, watch, why  # noqa: PLC0415
    from duly.cli.job_list_commands import cancel, list_jobs, retry  # noqa: PLC0415
    from duly.cli.operator_commands import check, doctor, migrate, secrets  # noqa: PLC0415
    from duly.cli.queue_commands import queues  # noqa: PLC0415
    from duly.cli.relay_commands import outbox_ddl, relay  # noqa: PLC0415
    from duly.cli.schedule_commands import schedules  # noqa: PLC0415
    from duly.cli.top_command import top  # noqa: PLC0415
    from duly.cli.type_commands import types  # noqa: PLC0415
    from duly.demo import demo  # noqa: PLC0415

    commands: tuple[Callable[..., None], ...] = (
        *(migrate, check, doctor, demo, top),
        *(submit, watch, status, why, logs, steps, signal, list_jobs, cancel, retry, types, outbox_ddl, relay),
    )
    for command in commands:
        app.command(_NAMES.get(command.__name__))(command)
    for group in (queues, schedules, endpoints, deliveries, keys, tenants, submitters, holds, secrets):
        app.add_typer(group(), name=group.__name__)


def _version(value: bool) -> None:  # noqa: FBT001  # typer's callback
    if value:
        from duly import __version__  # noqa: PLC0415

        print(f"duly {__version__}")
        raise typer.Exit


def _root(
    *,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),  # noqa: FBT003
) -> None:
    """Duly: an HTTP async-job service on Postgres. Jobs duly accepted, duly done, duly reported."""


if __name__ == "__main__":
    main()
