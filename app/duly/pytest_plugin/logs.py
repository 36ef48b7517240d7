"""Log lines of services under test: passed to the standard library, whose records pytest captures."""

import structlog
from structlog.typing import EventDict, WrappedLogger


def log_to_logging() -> None:
    """Configures structlog, unless the tests have done so."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _as_record],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _as_record(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Returns the arguments of a logging call: the sentence, and its fields as the attribute `duly` of the record."""
    return {"msg": event.pop("event"), "exc_info": event.pop("exc_info", None), "extra": {"duly": event}}
