"""Entry point of `duly` and `python -m duly`, with the list of commands."""

import gc
import io
import sys

import typer

# By default the collector runs after every 700 new objects; importing a service makes many times that, and keeps them.
_YOUNG_OBJECTS = 50_000


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
    application()()


def application() -> typer.Typer:
    """Returns the command line application."""
    from duly.cli.access_commands import keys, tenants  # noqa: PLC0415
    from duly.cli.job_commands import cancel, status, submit, watch  # noqa: PLC0415
    from duly.cli.operator_commands import check, doctor, migrate, secrets, serve  # noqa: PLC0415  # keeps `--version` fast
    from duly.demo import demo  # noqa: PLC0415

    app = typer.Typer(
        name="duly",
        help="Duly: an HTTP async-job service on Postgres.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in (serve, migrate, check, doctor, demo, submit, watch, status, cancel):
        app.command()(command)
    app.add_typer(secrets(), name="secrets")
    app.add_typer(keys(), name="keys")
    app.add_typer(tenants(), name="tenants")
    app.callback()(_root)
    return app


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
