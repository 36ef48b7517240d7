"""Backend of Django's tasks framework (`django.tasks`, or its backport `django_tasks`).

TASKS = {"default": {"BACKEND": "duly.django.DulyBackend"}}

Workers run the tasks with `duly serve --handlers duly.django.worker`.
"""

from duly.django.backend import DulyBackend

__all__ = ["DulyBackend"]
