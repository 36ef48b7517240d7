"""Structured logs: each line has a message, a machine-readable `action` and IDs, for a console or as JSON."""

import io
import logging
import sys
import textwrap
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from duly.domain.safe_str import one_line, without_controls
from duly.telemetry.current_trace import current_trace


def configure_logs(log_format: Literal["console", "json"] | None, level: str) -> None:
    """Configures all logs, including those of libraries, for standard error. None: console on a terminal, else JSON."""
    chosen = chosen_format(log_format)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace,
        structlog.stdlib.ExtraAdder(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:3],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    foreign = [*shared, _of_a_library]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=foreign, processors=_ending(chosen)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("duly").setLevel(level.upper())


def chosen_format(log_format: Literal["console", "json"] | None) -> Literal["console", "json"]:
    """Returns the configured format, or the one that suits standard error."""
    return log_format or ("console" if sys.stderr.isatty() else "json")


def _ending(chosen: str) -> list[Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if chosen == "console":
        return [
            strip,
            _on_one_line,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_indented_traceback),
        ]
    return [
        strip,
        structlog.processors.format_exc_info,  # without local variables, which may contain secrets
        _camel_case,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(default=str),
    ]


def _with_trace(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Adds the ids of the current span, unless the line has those of another one."""
    if "trace_id" not in event and (found := current_trace()) is not None:
        return {**event, **found._asdict()}
    return event


def _of_a_library(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Adds an action to lines of libraries."""
    return {"action": "library", "logger": event["_record"].name, **event}


def _on_one_line(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Escapes control characters: text of a client or handler must not begin a line or control the terminal."""
    if isinstance(traceback := event.get("exception"), str):
        event["exception"] = _indented(traceback)
    return {
        name: one_line(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def _indented_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    out.write("\n" + _indented(text.getvalue().lstrip("\n")))


def _indented(traceback: str) -> str:
    """Returns a traceback as lines that none of the log looks like."""
    return textwrap.indent(without_controls(traceback), "    ")


def _camel_case(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Renames members to camelCase, so that a `jobId` of a response can be searched for in the logs."""
    return {_camel(key): value for key, value in event.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest) if first else name
