"""Tasks that the modules of a Django project declare."""

import sys
from functools import cache

from django.utils.module_loading import autodiscover_modules

from duly.django.framework import Task


class UndeclaredTask(Exception):
    """Module path at which no loaded module declares a task."""


def declared_task(path: str) -> Task:
    """Returns the task with this module path, such as `shop.tasks.send_invoice`.

    Searches the modules that are loaded, after the modules `tasks` of all apps. Never imports a module by the path,
    which may come from any client of the service.

    Raises:
        UndeclaredTask: there is no task at that path.
    """
    load_tasks()
    module, _, name = path.rpartition(".")
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    if not isinstance(found, Task) or found.module_path != path:
        raise UndeclaredTask(
            f'no task "{path}" is declared; decorate it with @task in the module `tasks` of an app, '
            "or import its module there"
        )
    return found


@cache
def load_tasks() -> None:
    """Imports the modules `tasks` of all apps, once."""
    autodiscover_modules("tasks")
