"""The command `duly demo`: what it needs, where its data lie, and how it ends."""

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from duly.cli.errors import one_line_errors, stop
from duly.client import SignatureError
from duly.demo.service import ServiceFailed
from duly.demo.story import DemoFailed, tell
from duly.demo.weather import EXTRA_MISSING
from duly.embedded.server import default_data_dir

_EXTRA = ("matplotlib", "vega_datasets")


def run(*, output: Path) -> None:
    """Run the demo; ends with exit code 1 and one line on standard error where a step fails."""
    # The service is a child process: it must be stopped also when this one is told to go.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    with one_line_errors():
        if not all(map(importlib.util.find_spec, _EXTRA)):
            stop(EXTRA_MISSING)
        try:
            tell(data_dir=_data_dir(), output=output)
        except SignatureError as error:
            stop(f"the webhook's signature is wrong: {error}")
        except DemoFailed as error:
            stop(str(error))
        except ServiceFailed as error:
            print(error.output, file=sys.stderr)  # noqa: T201 - what the service said before it ended
            stop(str(error))


def _data_dir() -> Path:
    """A folder of the demo's own, so that it never meets the database of a `duly serve`."""
    named = os.environ.get("DULY_DATA_DIR")
    return (Path(named) if named else default_data_dir()).absolute() / "demo"


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
