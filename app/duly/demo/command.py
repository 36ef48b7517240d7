"""Body of `duly demo`."""

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from duly.cli.errors import one_line_errors, stop
from duly.client import SignatureError
from duly.demo.service import ServiceFailed
from duly.demo.story import DemoFailed, run_story
from duly.demo.weather import EXTRA_MISSING
from duly.embedded.server import default_data_dir

_EXTRA = ("matplotlib", "vega_datasets")


def run(*, output: Path) -> None:
    """Runs the demo. Exits with 1 and one line on standard error if a step fails."""
    # The service is a child process, which must be stopped on these signals as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    with one_line_errors():
        if not all(map(importlib.util.find_spec, _EXTRA)):
            stop(EXTRA_MISSING)
        try:
            run_story(data_dir=_data_dir(), output=output)
        except SignatureError as error:
            stop(f"invalid signature of the webhook: {error}")
        except DemoFailed as error:
            stop(str(error))
        except ServiceFailed as error:
            print(error.output, file=sys.stderr)  # noqa: T201 - the last output of the service
            stop(str(error))


def _data_dir() -> Path:
    """Returns a folder for the demo only, separate from the database of `duly serve`."""
    named = os.environ.get("DULY_DATA_DIR")
    return (Path(named) if named else default_data_dir()).absolute() / "demo"


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
