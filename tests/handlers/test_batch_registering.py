"""A batch handler takes and returns lists; its job type shows their items, and every mistake is reported at start."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from duly import Fail, HandlerError, Handlers, JobContext, Retry
from duly.handlers.registry import Batch, RegisteredHandler
from duly.handlers.serialization import ParametersInvalid, read_parameters, write_result


class Page(BaseModel):
    url: str


class Indexed(BaseModel):
    words: int


def registered(function: Callable[..., Any], **options: Any) -> RegisteredHandler:
    handlers = Handlers()
    handlers.register("batched", **{"batch": 100, **options})(function)
    (handler,) = handlers
    assert isinstance(handler, RegisteredHandler)
    return handler


async def takes_a_list(pages: list[Page]) -> None: ...


async def takes_both(pages: list[Page], jobs: list[JobContext]) -> None: ...


async def takes_both_the_other_way(jobs: list[JobContext], pages: list[Page]) -> None: ...


async def takes_a_sequence(pages: Sequence[Page], jobs: Sequence[JobContext]) -> None: ...


async def takes_both_unannotated(pages, jobs) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001  # as users do


async def takes_a_default(pages: list[Page], *, depth: int = 3) -> None: ...


def takes_a_bare_list(pages: list) -> None: ...  # type: ignore[type-arg]  # as users do


@pytest.mark.parametrize(
    ("function", "order"),
    [
        (takes_a_list, ("list",)),
        (takes_both, ("list", "jobs")),
        (takes_both_the_other_way, ("jobs", "list")),
        (takes_a_sequence, ("list", "jobs")),
        (takes_both_unannotated, ("list", "jobs")),
        (takes_a_default, ("list",)),
        (takes_a_bare_list, ("list",)),
    ],
)
def test_a_batch_handler_takes_the_list_and_may_take_the_contexts(
    function: Callable[..., Any], order: tuple[str, ...]
) -> None:
    assert registered(function).signature.order == order


def test_the_parameters_of_each_job_are_validated_as_what_the_list_holds() -> None:
    handler = registered(takes_both)
    assert read_parameters(handler, '{"url": "https://a.example"}') == Page(url="https://a.example")
    with pytest.raises(ParametersInvalid, match=r"parameters\.url: Field required"):
        read_parameters(handler, "{}")
    assert handler.parameters.json_schema()["title"] == "Page"
    assert read_parameters(registered(takes_a_bare_list), "[1]") == [1]


async def returns_models(pages: list[Page]) -> list[Indexed]: ...  # type: ignore[empty-body]


async def returns_failures_too(pages: list[Page]) -> list[Indexed | Retry | Fail]: ...  # type: ignore[empty-body]


async def returns_any_exception(pages: list[Page]) -> Sequence[Indexed | BaseException]: ...  # type: ignore[empty-body]


@pytest.mark.parametrize("function", [returns_models, returns_failures_too, returns_any_exception])
def test_the_result_of_each_job_is_what_the_returned_list_holds_exceptions_left_out(
    function: Callable[..., Any],
) -> None:
    handler = registered(function)
    assert handler.result.json_schema()["title"] == "Indexed"
    assert write_result(handler, Indexed(words=3), limit=1000) == '{"words":3}'


async def returns_a_list_or_nothing(pages: list[Page]) -> list[int] | None: ...


async def returns_only_failures(pages: list[Page]) -> list[Fail | None]: ...  # type: ignore[empty-body]


async def returns_what_it_likes(pages: list[Page]): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("function", "schema"),
    [
        (takes_a_list, {"type": "null"}),
        (returns_only_failures, {"type": "null"}),
        (returns_a_list_or_nothing, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (returns_what_it_likes, {}),
    ],
)
def test_none_for_the_whole_list_is_a_null_for_each(function: Callable[..., Any], schema: dict[str, Any]) -> None:
    handler = registered(function)
    assert handler.result.json_schema() == schema
    assert write_result(handler, None, limit=1000) == "null"


async def takes_nothing() -> None: ...


async def takes_contexts_only(jobs: list[JobContext]) -> None: ...


async def takes_one_model(page: Page) -> None: ...


async def takes_one_context(pages: list[Page], job: JobContext) -> None: ...


async def takes_two_lists(pages: list[Page], more: list[Page]) -> None: ...


async def takes_three(pages: list[Page], jobs: list[JobContext], more: list[JobContext]) -> None: ...


async def takes_a_keyword(pages: list[Page], *, needed: int) -> None: ...


class Opaque:
    """Class that pydantic cannot validate."""


async def takes_opaques(pages: list[Opaque]) -> None: ...


async def returns_no_list(pages: list[Page]) -> dict[str, int]: ...  # type: ignore[empty-body]


TAKES = (
    'job type "batched": a batch handler takes the parameters of its jobs (one argument annotated list[...]) '
    "and may take their contexts (one argument annotated list[JobContext])"
)
RETURNS = (
    'job type "batched": a batch handler returns a list with one item for each of its jobs, or None; its function is '
    "annotated to return dict[str, int]"
)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (takes_nothing, TAKES),
        (takes_contexts_only, TAKES),
        (takes_one_model, TAKES),
        (takes_one_context, TAKES),
        (takes_two_lists, TAKES),
        (takes_three, TAKES),
        (takes_a_keyword, 'job type "batched": the argument "needed" is keyword-only and has no default'),
        (takes_opaques, 'job type "batched": pydantic cannot validate its parameters'),
        (returns_no_list, RETURNS),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(HandlerError, match=re.escape(told)):
        registered(function)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch": 0}, "batch=0 must be between 1 and 1000"),
        ({"batch": 1001}, "batch=1001 must be"),
        ({"batch": 2.5}, "batch=2.5 must be"),
        ({"batch": True}, "batch=True must be"),
        ({"linger": -0.1}, "linger=-0.1 must be between 0 and 10 seconds"),
        ({"linger": 10.5}, "linger=10.5 must be"),
        ({"linger": float("nan")}, "linger=nan must be"),
        ({"linger": "1"}, "linger='1' must be"),
        ({"batch": None, "linger": 1}, "linger=1 requires batch=..."),
        ({"linger": 5, "timeout": 5}, "linger=5 must be shorter than timeout=5"),
        ({"isolation": "process"}, "a batch handler cannot run in a process; remove isolation or batch"),
        ({"isolation": "thread"}, "an async function cannot run in a thread"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(HandlerError, match=re.escape(told)):
        registered(takes_a_list, **options)


def test_a_batch_handler_keeps_its_size_and_its_linger() -> None:
    handler = registered(takes_a_list, batch=1000, linger=10)
    assert (handler.batch, handler.isolation) == (Batch(1000, 10.0), "task")
    handler = registered(takes_a_bare_list, batch=1)
    assert (handler.batch, handler.isolation) == (Batch(1, 0.0), "thread")


def test_without_batch_a_handler_takes_one_job() -> None:
    handler = registered(takes_a_list, batch=None)
    assert (handler.batch, handler.signature.order) == (None, ("parameters",))
    assert handler.parameters.json_schema()["type"] == "array"
