"""Tracebacks: where an error of a handler arose, without local variables, whatever the error's own methods do."""

import site
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import duly
from duly.domain.outcome import Frame

TRACEBACK_LIMIT = 64_000
MOST_FRAMES = 10
_OURS = str(Path(duly.__file__).parent) + "/"
# What calls a handler on behalf of this package.
_CALLERS = ("anyio", "asyncio", "duly")
_LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {*site.getsitepackages(), site.getusersitepackages()}
)


class ErrorLocation(NamedTuple):
    """Where an error arose.

    Attributes:
        exception: the name of its type.
        frames: the last frames of the handler's code, the innermost last.
        traceback: the whole traceback, for a log.
    """

    exception: str
    frames: tuple[Frame, ...]
    traceback: str


def locate_error(error: BaseException, *, package: str) -> ErrorLocation:
    """Where this error arose. `package` is the handler's top-level package, wherever that is installed."""
    frames = list(_frames_of_callee(error))
    own = [frame for frame in frames if not _is_library(frame[0], package)]
    last = tuple(
        Frame(frame.f_code.co_filename, line or 0, frame.f_code.co_name)
        for frame, line in (own or frames)[-MOST_FRAMES:]
    )
    return ErrorLocation(type(error).__name__, last, traceback_text(error))


def traceback_text(error: BaseException) -> str:
    """The whole traceback as Python prints it; of one longer than 64,000 characters the beginning and the end."""
    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except BaseException as unprintable:  # noqa: BLE001  # attributes of a handler's exception may raise anything
        return f"(the traceback cannot be shown: {type(unprintable).__name__})"
    if len(text) > TRACEBACK_LIMIT:
        half = TRACEBACK_LIMIT // 2
        return f"{text[:half]}\n… [{len(text):,} characters in all]\n{text[-half:]}"
    return text


def _frames_of_callee(error: BaseException) -> Iterable[tuple[FrameType, int]]:
    """The frames below those that called the handler, without those of this package."""
    called = False
    for frame, line in traceback.walk_tb(error.__traceback__):
        called = called or _module(frame).partition(".")[0] not in _CALLERS
        if called and not frame.f_code.co_filename.startswith(_OURS):
            yield frame, line


def _is_library(frame: FrameType, package: str) -> bool:
    if _module(frame).partition(".")[0] == package:
        return False
    return frame.f_code.co_filename.startswith((*_LIBRARIES, "<frozen"))


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
