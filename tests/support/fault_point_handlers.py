"""Handlers of a service that is killed in a chosen method, while jobs are only in its memory.

`DIE_AT` names the method as module:class.method; the service kills itself (`kill -9`) at the first call with a job.
"""

import importlib
import os
import signal
from typing import Any

from tests.support.process_handlers import handlers

__all__ = ["handlers"]


def _die_at(place: str) -> None:
    module, _, path = place.partition(":")
    owner, _, name = path.partition(".")
    holder = getattr(importlib.import_module(module), owner)

    def die(_self: Any, jobs: Any, *_: Any, **__: Any) -> None:
        if jobs:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(holder, name, die)


_die_at(os.environ["DIE_AT"])
