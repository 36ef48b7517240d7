"""Imports the embedded server's package where its warning may pass: that no XDG_RUNTIME_DIR is set is no error here."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import benchmarks.postgres_server  # noqa: F401
