"""Tasks for tests: one for each way in which a task can end."""

from typing import Any

from django.db import connection

from duly import Retry
from duly.django.framework import TaskContext, task


@task
def total(*prices: int, discount: int = 0) -> int:
    return sum(prices) - discount


@task
async def total_async(*prices: int) -> int:
    return sum(prices)


@task
def first_order() -> int:
    with connection.cursor() as cursor:
        cursor.execute("select number from orders")
        number: int = cursor.fetchone()[0]
        return number


@task
def refuse(message: str) -> None:
    raise ValueError(ValueError(message))


@task
def leave() -> None:
    raise SystemExit("left")


@task
def interrupt() -> None:
    raise KeyboardInterrupt("stopped")


class OutOfStock(Exception):
    """Exception of the project's own."""


@task
def reserve() -> None:
    raise OutOfStock("none left")


@task
def unprintable() -> Any:
    return object()


@task(takes_context=True)
def describe(context: TaskContext, greeting: str) -> list[Any]:
    return [greeting, context.attempt, context.task_result.id, context.task_result.status]


@task(takes_context=True)
def second_time(context: TaskContext) -> int:
    attempt: int = context.attempt
    if attempt == 1:
        raise Retry("once more", after=0)
    return attempt


def undeclared() -> None:
    raise AssertionError("a function without @task must not run")
