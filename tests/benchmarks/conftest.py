"""Import of the embedded server's package without its warning about a missing XDG_RUNTIME_DIR."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import benchmarks.postgres_server  # noqa: F401
