"""Submission of Django tasks: in a transaction and over HTTP, with the checks of the framework."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from duly.django import DulyBackend
from duly.django.framework import (
    Task,
    TaskException,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task,
    task_backends,
    task_enqueued,
)
from tests.support.django_project import in_transaction
from tests.support.django_shop import tasks
from tests.support.service import Service, eventually


def over_http() -> Task:
    return tasks.total.using(backend="http")


async def finished(service: Service, result: TaskResult) -> TaskResult:
    await service.ended(result.id)
    await result.arefresh()
    return result


def test_the_setting_names_the_backend(shop: Service) -> None:
    backend = task_backends["default"]
    assert isinstance(backend, DulyBackend)
    assert (backend.alias, backend.queues, list(backend.check())) == ("default", {"default", "mail"}, [])
    assert backend.supports_defer and backend.supports_priority and backend.supports_async_task


async def test_a_task_exists_if_and_only_if_the_transaction_has_committed(shop: Service) -> None:
    undone = await asyncio.to_thread(in_transaction, lambda: tasks.total.enqueue(3), commits=False)
    done = await asyncio.to_thread(in_transaction, lambda: tasks.total.enqueue(3, 4, discount=2), commits=True)
    assert (done.status, done.is_finished, done.attempts) == (TaskResultStatus.READY, False, 0)
    assert (await finished(shop, done)).return_value == 5
    with pytest.raises(TaskResultDoesNotExist):
        await undone.arefresh()
    assert (await shop.sql("select count(*) from jobs"))[0][0] == 1


async def test_a_result_has_the_call_its_times_and_its_worker(shop: Service) -> None:
    result = await finished(shop, await over_http().aenqueue(3, discount=1))
    assert (result.status, result.is_finished, result.return_value) == (TaskResultStatus.SUCCESSFUL, True, 2)
    assert (result.task, result.args, result.kwargs, result.backend) == (over_http(), [3], {"discount": 1}, "http")
    assert result.enqueued_at <= result.started_at == result.last_attempted_at <= result.finished_at
    assert (result.errors, result.attempts, len(result.worker_ids)) == ([], 1, 1)


async def test_a_result_is_read_by_its_id(shop: Service) -> None:
    sent = await asyncio.to_thread(over_http().enqueue, 3)
    await shop.ended(sent.id)
    assert (await asyncio.to_thread(over_http().get_result, sent.id)).return_value == 3
    assert (await tasks.total.aget_result(sent.id)).return_value == 3
    with pytest.raises(TaskException, match="Task does not match"):
        await tasks.reserve.aget_result(sent.id)


async def test_an_id_of_no_task_has_no_result(shop: Service) -> None:
    other = await shop.submit("echo")
    for missing in ("123", "../queues", str(uuid4()), other["jobId"]):
        with pytest.raises(TaskResultDoesNotExist):
            await over_http().aget_result(missing)


async def test_the_result_of_a_waiting_task_is_equal_to_the_one_returned(shop: Service) -> None:
    await shop.client.post("/api/v1/queues/mail/pause")
    for _ in range(5):  # times are rounded
        sent = await over_http().using(queue_name="mail").aenqueue(1)
        assert await over_http().aget_result(sent.id) == sent


async def test_priority_queue_and_time_are_those_of_the_job(shop: Service) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    with override_settings(USE_TZ=True):
        sent = await over_http().using(priority=-100, queue_name="mail", run_after=at).aenqueue(1)
        job = await shop.job(sent.id)
        await sent.arefresh()
    assert (job["priority"], job["queue"], datetime.fromisoformat(job["runAt"])) == (-100, "mail", at)
    assert (job["type"], job["maxAttempts"], job["status"]) == ("django.task", 1, "pending")
    assert (sent.task.priority, sent.task.queue_name, sent.task.run_after) == (-100, "mail", at)
    assert sent.status == TaskResultStatus.READY
    with pytest.raises(ValueError, match="not finished"):
        sent.return_value  # noqa: B018  # reading it raises


async def test_without_time_zones_times_are_naive(shop: Service) -> None:
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        at = datetime(2100, 1, 1, 9)  # noqa: DTZ001  # as Django has it
        sent = await over_http().using(run_after=at).aenqueue(1)
        job = await shop.job(sent.id)
        assert (await tasks.total.aget_result(sent.id)).enqueued_at.tzinfo is None
    assert datetime.fromisoformat(job["runAt"]) == datetime(2100, 1, 1, tzinfo=UTC)
    assert sent.enqueued_at.tzinfo is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue_name": "unknown"}, "Queue 'unknown' is not valid"),
        ({"priority": 101}, "whole number between -100 and 100"),
        ({"priority": 1.5}, "whole number"),
        ({"run_after": datetime(2100, 1, 1)}, "aware datetime"),  # noqa: DTZ001  # the mistake
    ],
)
@override_settings(USE_TZ=True)
async def test_an_invalid_option_is_refused(shop: Service, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskException, match=message):
        tasks.total.using(**options)


async def test_a_task_is_checked_again_when_it_is_submitted(shop: Service) -> None:
    anywhere = tasks.total.using(backend="blind", queue_name="anywhere")
    duly = {"BACKEND": "duly.django.DulyBackend", "QUEUES": ["mail"]}
    with override_settings(TASKS={"default": duly, "blind": duly}):
        with pytest.raises(TaskException, match="Queue 'anywhere' is not valid"):
            anywhere.enqueue()
        with pytest.raises(TaskException, match="Queue 'anywhere' is not valid"):
            await anywhere.aenqueue()


def test_only_functions_of_a_module_are_tasks(shop: Service) -> None:
    with pytest.raises(TaskException, match="module level"):
        task(lambda: None)


def test_a_task_with_context_needs_the_argument(shop: Service) -> None:
    with pytest.raises(TaskException, match="first argument of 'context'"):
        task(takes_context=True)(tasks.undeclared)


async def test_arguments_must_be_json(shop: Service) -> None:
    with pytest.raises(TypeError, match="Unsupported type"):
        await over_http().aenqueue(datetime.now(UTC))
    assert (await shop.sql("select count(*) from jobs"))[0][0] == 0


async def test_without_a_url_tasks_are_submitted_and_have_no_results(shop: Service) -> None:
    blind = tasks.total.using(backend="blind", queue_name="anywhere")
    sent = await asyncio.to_thread(in_transaction, lambda: blind.enqueue(1), commits=True)

    async def moved() -> bool:
        return (await shop.client.get(f"/api/v1/jobs/{sent.id}")).status_code == 200

    await eventually(moved)
    assert (await shop.ended(sent.id))["queue"] == "anywhere"
    with pytest.raises(NotImplementedError):
        await sent.arefresh()
    assert not task_backends["blind"].supports_get_result


async def test_submission_sends_the_signal_of_the_framework(shop: Service) -> None:
    heard: list[str] = []

    def receiver(sender: type, task_result: TaskResult, **_: Any) -> None:
        heard.append(task_result.id)

    task_enqueued.connect(receiver, sender=DulyBackend)
    try:
        sent = await over_http().aenqueue(1)
    finally:
        task_enqueued.disconnect(receiver, sender=DulyBackend)
    assert heard == [sent.id]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"OPTIONS": {"url": "http://127.0.0.1"}}, "unknown member 'url'; Duly knows URL"),
        ({"QUEUES": ["no spaces"]}, "'no spaces' is not a valid queue name"),
    ],
)
def test_a_mistake_in_the_settings_is_named(members: dict[str, Any], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        DulyBackend("default", members)
