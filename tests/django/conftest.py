"""Django project whose tasks a service in the process of the tests runs."""

import os
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from asgiref.sync import sync_to_async

from duly.django.backend import client_of
from tests.support.django_project import configure, forget_connection, project
from tests.support.service import Service, running_service

configure()


@pytest.fixture(autouse=True)
def same_time_zone() -> Iterator[None]:
    """Restores the time zone of the process, which Django changes with its settings."""
    before = os.environ.get("TZ")
    yield
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Service]:
    """Service with a worker of Django tasks, and a project with three backends: one that submits in transactions
    (`default`), one over HTTP (`http`), and one without results (`blind`).
    """
    async with running_service(database_url, handlers=("tests.support.handlers", "duly.django.worker")) as running:
        duly = {"BACKEND": "duly.django.DulyBackend", "QUEUES": ["default", "mail"]}
        tasks = {
            "default": {**duly, "OPTIONS": {"URL": running.url, "DATABASE": "default", "MAX_ATTEMPTS": 2}},
            "http": {**duly, "OPTIONS": {"URL": running.url, "MAX_ATTEMPTS": 1}},
            "blind": {**duly, "QUEUES": []},
        }
        with project(database_url, tasks=tasks):
            yield running
            await sync_to_async(forget_connection)()
        client_of(running.url, None, os.getpid()).close()
        client_of.cache_clear()
