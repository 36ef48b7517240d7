"""Program that runs Django's own tests of tasks on `DulyBackend`, with a service and its worker in the same process.

python -m tests.support.djangos_own_tests FOLDER DATABASE_URL MODE

FOLDER has the package `tasks` of Django's tests, and MODE is that of the backend: `http` or `database`. Prints a JSON
object: the outcome of each test, which is `passed` or a traceback. Needs Django 6.

`DulyBackend` takes the place of the dummy and of the immediate backend under their own names, so that the settings in
Django's tests lead to it. Its queue is paused, as the dummy backend runs nothing.
"""

import asyncio
import contextlib
import json
import logging
import sys
import threading
import unittest
from collections.abc import Iterator
from typing import Any

import structlog
from django.tasks.backends import dummy, immediate
from django.test import SimpleTestCase
from django.test.utils import setup_test_environment

from duly.client import Client
from duly.django import DulyBackend
from duly.django.framework import Task, TaskResult
from duly.django.task_call import JOB_TYPE
from tests.support.django_project import configure, database_settings
from tests.support.service import running_service

MODULES = ("test_tasks", "test_custom_backend", "test_dummy_backend", "test_immediate_backend")
QUEUE = "default"
PASSED = "passed"
OPTIONS: dict[str, Any] = {"MAX_ATTEMPTS": 1}


class Waiting(DulyBackend):
    """Backend in place of the dummy one, with those of its members that Django's tests use."""

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, {**params, "OPTIONS": OPTIONS})
        self.options = params.get("OPTIONS", {})  # as Django's tests have it
        self._enqueued: list[str] = []

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        result = super().enqueue(task, args, kwargs)
        self._enqueued.append(result.id)
        return result

    @property
    def results(self) -> list[TaskResult]:
        """Results of all tasks that were enqueued and not cleared, read from the service."""
        return [self.get_result(id_) for id_ in self._enqueued]

    def clear(self) -> None:
        """Forgets all tasks and cancels them."""
        client = self._client()
        for job in client.list(types=[JOB_TYPE], statuses=["pending"]):
            client.cancel(job["jobId"])
        self._enqueued.clear()


class Immediate(Waiting):
    """Backend in place of the immediate one: a task has ended when `enqueue` returns."""

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        self.clear()  # else these would run as well
        result = super().enqueue(task, args, kwargs)
        _queue("resume")
        try:
            self._client().wait(result.id, timeout=60)
        finally:
            _queue("pause")
        result.refresh()
        return result


def _queue(verb: str) -> None:
    with Client(OPTIONS["URL"]) as client:
        getattr(client.queues, verb)(QUEUE)


class Outcomes(unittest.TestResult):
    """Outcome of each test by its name, such as `test_tasks.TaskTestCase.test_name`."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, str] = {}

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802  # of the base class
        wrong = [text for failed, text in (*self.failures, *self.errors) if failed is test or _of(failed, test)]
        self.outcomes[test.id().removeprefix("tasks.")] = "\n".join(wrong) or PASSED
        super().stopTest(test)


def _of(subtest: Any, test: unittest.TestCase) -> bool:
    return getattr(subtest, "test_case", None) is test


@contextlib.contextmanager
def service(database_url: str) -> Iterator[str]:
    """Runs a service with a worker of Django tasks in a thread, and yields its URL."""
    started, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def serve() -> None:
        async with running_service(database_url, handlers=("duly.django.worker",)) as running:
            found.extend((running.url, asyncio.get_running_loop()))
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield found[0]
    finally:
        found[1].call_soon_threadsafe(stop.set)
        thread.join()


def main(folder: str, database_url: str, mode: str) -> None:
    # Standard output is for the outcomes, and rendering a traceback takes half a second.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.path.insert(0, folder)
    configure(DATABASES={"default": database_settings(database_url)})
    setup_test_environment()
    with service(database_url) as url:
        OPTIONS.update({"URL": url} | ({"DATABASE": "default"} if mode == "database" else {}))
        _queue("pause")
        dummy.DummyBackend, immediate.ImmediateBackend = Waiting, Immediate
        SimpleTestCase.databases = {"default"}
        result = Outcomes()
        unittest.defaultTestLoader.loadTestsFromNames([f"tasks.{name}" for name in MODULES]).run(result)
    json.dump(result.outcomes, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
