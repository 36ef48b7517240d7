"""Body of `duly top`: frames read from a service, on the whole screen of a terminal or one below the other."""

import sys
import time
from contextlib import suppress

from rich.live import Live

from duly.cli.errors import say
from duly.cli.keyboard import pressed_keys
from duly.cli.output import print_json
from duly.cli.terminal_client import TerminalClient
from duly.cli.top_frame import Frame, Outage, frame_text, read_frame
from duly.cli.watch import text_console
from duly.client import Unavailable, Unreachable

QUIT_KEYS = frozenset("qQ\x1b\x03\x04")


def run_top(client: TerminalClient, *, interval: float, once: bool, as_json: bool) -> None:
    """Shows frames until a key or Ctrl-C ends it; with `once`, a single one."""
    if once:
        _print(read_frame(client), as_json=as_json)
        return
    with suppress(KeyboardInterrupt):
        if as_json or not sys.stdout.isatty():
            _print_frames(client, interval=interval, as_json=as_json)
        else:
            _show_live(client, interval=interval)


def _print_frames(client: TerminalClient, *, interval: float, as_json: bool) -> None:
    _print(read_frame(client), as_json=as_json)
    while True:
        time.sleep(interval)
        found = _read(client)
        if isinstance(found, Frame):
            _print(found, as_json=as_json)
        else:
            say(found.line)


def _show_live(client: TerminalClient, *, interval: float) -> None:
    """Draws frames on the alternate screen, and leaves the terminal as it was."""
    console = text_console()
    shown = read_frame(client)  # before the screen is cleared: an error stays readable
    outage: Outage | None = None
    with pressed_keys() as keys:
        live = Live(frame_text(shown, console), console=console, screen=True, auto_refresh=False)
        try:
            live.start(refresh=True)  # within: it may be interrupted halfway
            while not QUIT_KEYS & set(keys(interval)):
                found = _read(client)
                shown, outage = (found, None) if isinstance(found, Frame) else (shown, found)
                live.update(frame_text(shown, console, outage=outage), refresh=True)
        finally:
            live.stop()


def _read(client: TerminalClient) -> Frame | Outage:
    """Returns the present frame, or why there is none; the service may come back."""
    try:
        return read_frame(client)
    except Unreachable as error:
        return Outage(f"no service at {error.url} ({error.reason}); trying again")
    except Unavailable as error:
        return Outage(f"the service at {client.url} is unavailable ({error.code}); trying again")


def _print(frame: Frame, *, as_json: bool) -> None:
    if as_json:
        print_json(frame.as_json())
    else:
        print(frame_text(frame, text_console()).plain, end="\n\n", flush=True)
