"""Django tasks and transactions: rollback, savepoints, `on_commit`, `ATOMIC_REQUESTS`, and results at the commit."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from duly.django.framework import TaskResult, TaskResultDoesNotExist, TaskResultStatus
from tests.support.django_project import forget_connection, in_transaction
from tests.support.django_shop import tasks
from tests.support.service import Service


@pytest.fixture(autouse=True)
async def quiet_shop(shop: Service) -> Service:
    """Service whose tasks wait, so that their results are those of the submission."""
    await shop.client.post("/api/v1/queues/default/pause")
    return shop


async def in_thread(work: Callable[[], Any]) -> Any:
    """Runs a function as a thread of a web server does."""

    def run() -> Any:
        try:
            return work()
        finally:
            forget_connection()

    return await asyncio.to_thread(run)


async def submitted(service: Service) -> list[Any]:
    """Returns the first argument of each task that exists, in order."""
    found = await service.sql(
        "select parameters #>> '{args,0}' from (select job_id, parameters::jsonb from jobs"
        " union all select job_id, parameters::jsonb from inbox) as found order by job_id"
    )
    return [int(row[0]) for row in found]


def fail() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select 1 / 0")


def rolled_back(work: Callable[[], Any]) -> None:
    """Runs a function in a savepoint that an error of the database rolls back."""

    def savepoint() -> None:
        with transaction.atomic():
            work()
            fail()

    with pytest.raises(DatabaseError):
        savepoint()


async def test_a_savepoint_that_is_rolled_back_takes_its_tasks_along(shop: Service) -> None:
    def work() -> None:
        tasks.total.enqueue(1)
        with transaction.atomic():
            tasks.total.enqueue(2)
        rolled_back(partial(tasks.total.enqueue, 3))
        tasks.total.enqueue(4)

    await asyncio.to_thread(in_transaction, work, commits=True)
    assert await submitted(shop) == [1, 2, 4]


@pytest.mark.parametrize(("commits", "expected"), [(True, [1, 2]), (False, [])], ids=["commit", "rollback"])
async def test_on_commit_submits_after_the_commit_and_only_then(
    shop: Service, commits: bool, expected: list[int]
) -> None:
    def work() -> None:
        transaction.on_commit(partial(tasks.total.enqueue, 2))
        tasks.total.enqueue(1)

    await asyncio.to_thread(in_transaction, work, commits=commits)
    assert await submitted(shop) == expected


async def test_on_commit_of_a_savepoint_that_is_rolled_back_submits_nothing(shop: Service) -> None:
    def work() -> None:
        rolled_back(partial(transaction.on_commit, partial(tasks.total.enqueue, 1)))

    await asyncio.to_thread(in_transaction, work, commits=True)
    assert await submitted(shop) == []


async def test_over_http_a_task_exists_before_the_commit_and_after_a_rollback(shop: Service) -> None:
    def work() -> TaskResult:
        result = tasks.total.using(backend="http").enqueue(1)
        result.refresh()
        return result

    result = await asyncio.to_thread(in_transaction, work, commits=False)
    await result.arefresh()
    assert await submitted(shop) == [1]


async def test_a_transaction_that_is_broken_submits_nothing(shop: Service) -> None:
    def work() -> None:
        with pytest.raises(DatabaseError):
            fail()
        with pytest.raises(DatabaseError):
            tasks.total.enqueue(1)

    await asyncio.to_thread(in_transaction, work, commits=True)
    assert await submitted(shop) == []


async def test_without_a_transaction_a_task_exists_at_once(shop: Service) -> None:
    def work() -> None:
        result = tasks.total.enqueue(1)
        assert tasks.total.get_result(result.id) == result

    await in_thread(work)
    assert await submitted(shop) == [1]


async def test_a_result_exists_from_the_commit_on(shop: Service) -> None:
    def work() -> None:
        for number in range(5):  # the node records some of them before and some after the result is read
            with transaction.atomic():
                result = tasks.total.using(priority=7).enqueue(number)
                with pytest.raises(TaskResultDoesNotExist):
                    result.refresh()
            found = tasks.total.get_result(result.id)
            assert found == result
            assert (found.task.priority, found.status, found.attempts) == (7, TaskResultStatus.READY, 0)

    await in_thread(work)


def order(request: HttpRequest, number: int) -> HttpResponse:
    result = tasks.total.enqueue(number)
    if request.GET.get("fails"):
        raise ValueError("the view fails")
    return HttpResponse(result.id)


@transaction.non_atomic_requests
def order_apart(request: HttpRequest, number: int) -> HttpResponse:
    return order(request, number)


urlpatterns = [path("orders/<int:number>", order), path("orders/<int:number>/apart", order_apart)]


@pytest.fixture
def atomic_requests(shop: Service) -> Iterator[None]:
    """Project with `ATOMIC_REQUESTS`, whose views are those of this module."""
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"]):
        connections.settings["default"]["ATOMIC_REQUESTS"] = True
        yield


async def test_with_atomic_requests_a_task_exists_if_its_view_has_succeeded(
    shop: Service, atomic_requests: None
) -> None:
    browser = Client(raise_request_exception=False)
    answers = [
        await in_thread(partial(browser.get, address))
        for address in ("/orders/1", "/orders/2?fails=1", "/orders/3/apart?fails=1")
    ]
    assert [answer.status_code for answer in answers] == [200, 500, 500]
    assert await submitted(shop) == [1, 3]  # the last view is exempt, and submitted at once
