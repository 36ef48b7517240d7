"""Import of structlog without rich, which it takes for tracebacks that Duly does not print."""

import sys


def import_structlog() -> None:
    """Imports structlog, unless it is, as if rich were not installed: this saves a service 5 MB, and three quarters of
    the time of the import. Code that draws with rich still imports it.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]
