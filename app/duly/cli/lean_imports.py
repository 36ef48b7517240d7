"""Imports of packages without what they load and a service does not use: each saves it memory and time at the start."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import BaseModel


def import_structlog() -> None:
    """Imports structlog as if rich and greenlet were not installed: this saves a service 6 MB, and three quarters of
    the time of the import. Code that draws with rich still imports it.

    structlog takes rich for tracebacks that Duly does not print, and greenlet for loggers that it does not use.
    """
    with _as_if_not_installed("rich", "greenlet"):
        import structlog  # noqa: F401, PLC0415


def import_server() -> Callable[..., int]:
    """Returns `serve_one`, imported as if pydantic had no `v1`, which FastAPI would load to refuse its models: this
    saves a service 2 MB.

    The models of FastAPI and of the API, most of which only describe responses, are built when they are used: another
    4 MB. Each takes milliseconds at most; those of frequent requests are built here.
    """
    with _objects_kept(), _as_if_not_installed("pydantic.v1"), _models_built_when_used():
        from duly.api.batches.batch_reader import BatchRequest  # noqa: PLC0415
        from duly.api.leases.models import CompletionsRequest, HeartbeatsRequest, LeaseRequest  # noqa: PLC0415
        from duly.cli.server_process import serve_one  # noqa: PLC0415
        from duly.lifecycle.submit.submission_model import Submission  # noqa: PLC0415
    for model in (Submission, BatchRequest, LeaseRequest, CompletionsRequest, HeartbeatsRequest):
        model.model_rebuild()
    return serve_one


@contextmanager
def _objects_kept() -> Iterator[None]:
    """Excludes the objects that the block makes, and all before, from garbage collection, now and later: of half a
    million, a collection would free a thousand, and take a tenth of the time of the start.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


@contextmanager
def _as_if_not_installed(*names: str) -> Iterator[None]:
    """Makes imports of these modules fail, except for those that have been imported already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _models_built_when_used() -> Iterator[None]:
    """Defers the validators of models that are defined in the block, which inherit this setting of pydantic."""
    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]
