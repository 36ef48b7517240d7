"""Settings of a project without a database, for a worker in a process of its own."""

INSTALLED_APPS = ["tests.support.django_shop"]
TASKS = {"default": {"BACKEND": "duly.django.DulyBackend"}}
