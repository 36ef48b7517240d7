"""The handlers of a service that is killed at a chosen line: where jobs lie in its memory and nowhere else.

`DIE_AT` names the place as module:class.method; `kill -9` comes at its first call that has a job with it.
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
