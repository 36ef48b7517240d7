"""Tracebacks of handler errors, without local variables, and safe against methods of the error that raise."""

import site
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import duly
from duly.domain.outcome import StackFrame

TRACEBACK_LIMIT = 64_000
MOST_FRAMES = 10
_OURS = str(Path(duly.__file__).parent) + "/"
# Code that calls handlers on behalf of this package.
_CALLERS = ("anyio", "asyncio", "duly")
_LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {*site.getsitepackages(), site.getusersitepackages()}
)


class ErrorLocation(NamedTuple):
    """Location of an error.

    Attributes:
        exception: name of its type.
        frames: last frames of the handler's code, the innermost last.
        traceback: whole traceback, for a log.
    """

    exception: str
    frames: tuple[StackFrame, ...]
    traceback: str


def locate_error(error: BaseException, *, package: str) -> ErrorLocation:
    """Returns the location of an error. `package` is the handler's top-level package."""
    frames = list(_frames_of_callee(error))
    own = [frame for frame in frames if not _is_library(frame[0], package)]
    last = tuple(
        StackFrame(frame.f_code.co_filename, line or 0, frame.f_code.co_name)
        for frame, line in (own or frames)[-MOST_FRAMES:]
    )
    return ErrorLocation(type(error).__name__, last, traceback_text(error))


def traceback_text(error: BaseException) -> str:
    """Returns the traceback as Python prints it; its beginning and end if it is longer than 64,000 characters."""
    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except BaseException as unprintable:  # noqa: BLE001  # attributes of a handler's exception may raise anything
        return f"(the traceback cannot be shown: {type(unprintable).__name__})"
    if len(text) > TRACEBACK_LIMIT:
        half = TRACEBACK_LIMIT // 2
        return f"{text[:half]}\n… [{len(text):,} characters in all]\n{text[-half:]}"
    return text


def _frames_of_callee(error: BaseException) -> Iterable[tuple[FrameType, int]]:
    """Returns the frames below those that called the handler, without those of this package."""
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
