"""Worker of Django tasks: results, errors, attempts, and the guard against functions that are not tasks."""

import asyncio
import builtins
import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import connections

from duly.django.declared_tasks import UndeclaredTask, declared_task
from duly.django.framework import Task, TaskResult, TaskResultStatus, task_finished, task_started
from tests.support.django_project import in_transaction
from tests.support.django_shop import tasks
from tests.support.service import Service, eventually

HOME = "tests.support.django_shop.tasks"


async def ended(service: Service, task: Task, *arguments: Any, backend: str = "http") -> TaskResult:
    """Runs a task, and returns its result once the logs of its errors are recorded as well."""
    result = await task.using(backend=backend).aenqueue(*arguments)
    await service.ended(result.id)

    async def logged() -> bool:
        await result.arefresh()
        return all("Traceback" in error.traceback for error in result.errors)

    await eventually(logged)
    return result


async def test_an_async_task_runs(shop: Service) -> None:
    assert (await ended(shop, tasks.total_async, 1, 2)).return_value == 3


async def test_a_task_reads_the_database_of_the_transaction_that_submitted_it(shop: Service) -> None:
    await shop.sql("create table orders (number int)")

    def order() -> TaskResult:
        with connections["default"].cursor() as cursor:
            cursor.execute("insert into orders values (7)")
        return tasks.first_order.enqueue()

    result = await asyncio.to_thread(in_transaction, order, commits=True)
    await eventually(lambda: _is_known(shop, result.id))
    assert (await shop.ended(result.id))["result"] == 7
    connected = "select count(*) from pg_stat_activity where datname = current_database() and query like $1"

    async def closed() -> bool:
        return bool((await shop.sql(connected, "select number from orders%"))[0][0] == 0)

    await eventually(closed)


async def _is_known(shop: Service, job_id: str) -> bool:
    return (await shop.client.get(f"/api/v1/jobs/{job_id}")).status_code == 200


@pytest.mark.parametrize(
    ("task", "arguments", "kind", "text"),
    [
        (tasks.refuse, ["too late"], ValueError, "ValueError: too late\n"),
        (tasks.leave, [], SystemExit, "SystemExit: left\n"),
        (tasks.interrupt, [], KeyboardInterrupt, "KeyboardInterrupt: stopped\n"),
        (tasks.reserve, [], tasks.OutOfStock, f"{HOME}.OutOfStock: none left\n"),
        (tasks.unprintable, [], TypeError, "TypeError: Unsupported type: <class 'object'>\n"),
        (tasks.total, ["three"], TypeError, "TypeError: unsupported operand type(s) for +: 'int' and 'str'\n"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_a_failure_has_the_class_and_the_traceback(
    shop: Service, task: Task, arguments: list[Any], kind: type[BaseException], text: str
) -> None:
    result = await ended(shop, task, *arguments)
    assert (result.status, result.attempts, result.is_finished) == (TaskResultStatus.FAILED, 1, True)
    (error,) = result.errors
    assert error.exception_class is kind
    assert error.traceback.startswith("Traceback")
    assert error.traceback.endswith(text)
    assert f"in {task.name}" in error.traceback or task is tasks.unprintable
    with pytest.raises(ValueError, match="Task failed"):
        result.return_value  # noqa: B018  # reading it raises


async def test_a_failure_without_an_exception_has_the_code_of_the_job(shop: Service) -> None:
    await shop.client.post("/api/v1/queues/default/pause")
    result = await tasks.total.using(backend="http").aenqueue(1)
    assert (await shop.client.post(f"/api/v1/jobs/{result.id}/cancel")).is_success
    await result.arefresh()
    (error,) = result.errors
    assert (result.status, error.exception_class.__name__) == (TaskResultStatus.FAILED, "JobNotCompleted")
    assert error.traceback.startswith("CANCELLED: ")


async def test_a_second_attempt_counts_in_the_context_and_in_the_result(shop: Service) -> None:
    result = await tasks.second_time.using(backend="http").aenqueue()
    assert (await shop.ended(result.id))["status"] == "failed"  # that backend has one attempt
    result = await ended(shop, tasks.second_time, backend="default")
    assert (result.return_value, result.attempts, len(result.errors)) == (2, 2, 1)
    assert result.started_at < result.last_attempted_at
    assert result.errors[0].exception_class_path == "duly.handlers.exceptions.Retry"


async def test_the_context_has_the_running_result(shop: Service) -> None:
    result = await ended(shop, tasks.describe, "hello")
    assert result.return_value == ["hello", 1, result.id, "RUNNING"]


async def test_the_worker_sends_the_signals_of_the_framework(shop: Service) -> None:
    heard: list[tuple[str, str, str]] = []

    def started(sender: type, task_result: TaskResult, **_: Any) -> None:
        heard.append((task_result.id, "started", task_result.status))

    def finished(sender: type, task_result: TaskResult, **_: Any) -> None:
        heard.append((task_result.id, "finished", task_result.status))

    task_started.connect(started)
    task_finished.connect(finished)
    try:
        well, badly = await ended(shop, tasks.total, 1), await ended(shop, tasks.reserve)
    finally:
        task_started.disconnect(started)
        task_finished.disconnect(finished)
    assert heard == [
        (well.id, "started", "RUNNING"),
        (well.id, "finished", "SUCCESSFUL"),
        (badly.id, "started", "RUNNING"),
        (badly.id, "finished", "FAILED"),
    ]


@pytest.mark.parametrize("path", [f"{HOME}.undeclared", f"{HOME}.connection", "os.system", "antigravity.fly", "total"])
async def test_a_function_that_is_not_a_task_never_runs(shop: Service, path: str) -> None:
    job = await shop.run("django.task", {"task": path, "args": ["true"]}, maxAttempts=1)
    assert (job["status"], job["error"]["code"]) == ("failed", "TASK_UNDECLARED")
    assert f'no task "{path}" is declared' in job["error"]["message"]
    assert "antigravity" not in sys.modules


async def test_other_members_of_the_parameters_are_refused(shop: Service) -> None:
    body = {"type": "django.task", "parameters": {"task": f"{HOME}.total", "module": "os"}}
    assert (await shop.client.post("/api/v1/jobs", json=body)).status_code == 422


def test_a_task_is_known_by_its_own_path_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "renamed", tasks.total, raising=False)
    assert declared_task(f"{HOME}.total") is tasks.total
    with pytest.raises(UndeclaredTask):
        declared_task("builtins.renamed")


LOAD = """
import sys
from duly.handlers.discovery import load_registry
assert "tests.support.django_shop.tasks" not in sys.modules
print(sorted(load_registry(["duly.django.worker"])))
from duly.django.declared_tasks import declared_task
print(declared_task("tests.support.django_shop.tasks.total").name)
"""


def test_a_worker_loads_the_tasks_of_all_apps() -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "tests.support.django_shop.settings"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD], env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert "'django.task'" in done.stdout, done.stderr
    assert done.stdout.endswith("total\n")


def test_a_worker_without_settings_says_what_is_missing() -> None:
    without = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run([sys.executable, "-c", LOAD], env=without, capture_output=True, text=True, check=False)
    assert 'cannot import module "duly.django.worker": ImproperlyConfigured' in done.stderr
    assert "DJANGO_SETTINGS_MODULE" in done.stderr
