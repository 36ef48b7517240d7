"""Every mistake in a module with handlers is reported at start, with its place and cause."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from duly import HandlerError, Handlers, JobContext, fixed
from duly.domain.builtin_types import BUILTIN_TYPES, chosen_builtin_types
from duly.domain.egress_policy import EgressPolicy, parse_networks
from duly.handlers.discovery import load_registry, load_users_own
from duly.handlers.serialization import ParametersInvalid, read_parameters
from duly.outbound import OutboundClient

WriteModule = Callable[[str, str], None]
OPENING = "from duly import Handlers, JobContext, fixed\nhandlers = Handlers()\n"


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Writes modules into a folder on the path; they are forgotten after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def refusal(*modules: str) -> str:
    with pytest.raises(HandlerError) as caught:
        load_registry(modules)
    return str(caught.value)


def test_the_built_in_types_are_there_unless_switched_off() -> None:
    assert tuple(sorted(load_registry(()))) == BUILTIN_TYPES == ("echo", "http.request", "sleep")
    assert list(load_registry((), builtin=["sleep"])) == ["sleep"]
    assert list(load_registry((), builtin=[])) == []


def test_the_models_of_built_in_types_are_built_once_a_process_and_network_policy() -> None:
    first, second = load_registry(()), load_registry(())
    egress = EgressPolicy(networks=parse_networks("127.0.0.0/8"))
    loopback = load_registry((), client=OutboundClient(egress=egress))

    assert all(first[name].parameters is second[name].parameters for name in BUILTIN_TYPES)
    assert all(first[name].result is second[name].result for name in BUILTIN_TYPES)
    request = '{"url": "http://127.0.0.1:9/"}'
    assert read_parameters(loopback["http.request"], request).url == "http://127.0.0.1:9/"
    with pytest.raises(ParametersInvalid):
        read_parameters(first["http.request"], request)


def test_equal_annotations_whose_order_differs_have_schemas_of_their_own() -> None:
    handlers = Handlers()

    @handlers.register("number-first")
    def number_first(parameters: int | str) -> None: ...

    @handlers.register("text-first")
    def text_first(parameters: str | int) -> None: ...

    types = [[each["type"] for each in handler.parameters.json_schema()["anyOf"]] for handler in handlers]
    assert types == [["integer", "string"], ["string", "integer"]]


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["all"], BUILTIN_TYPES),
        (["none"], ()),
        ([], ()),
        (["sleep", "echo", "sleep"], ("echo", "sleep")),
    ],
)
def test_built_in_types_are_chosen_by_name_or_all_or_none(words: list[str], chosen: tuple[str, ...]) -> None:
    assert chosen_builtin_types(words) == chosen


def test_a_handler_may_take_the_name_of_a_built_in_type_that_is_switched_off(write_module: WriteModule) -> None:
    write_module("own_echo", OPENING + "@handlers.register('echo')\nasync def echo() -> None: ...\n")
    assert list(load_registry(["own_echo"], builtin=["sleep"])) == ["sleep", "echo"]


def test_a_module_that_does_not_exist_is_named() -> None:
    assert refusal("no_such_module") == (
        "cannot import module \"no_such_module\": ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_a_module_that_breaks_is_told_with_the_users_line(write_module: WriteModule) -> None:
    write_module("breaks", "import os\n\nvalue = 1 / 0\n")
    assert re.fullmatch(
        r'cannot import module "breaks": ZeroDivisionError: division by zero \(.*/breaks\.py, line 3\)',
        refusal("breaks"),
    )


def test_the_line_named_is_the_users_even_where_a_library_raised(write_module: WriteModule) -> None:
    write_module("breaks_deep", "import json\nvalue = json.loads('{')\n")
    assert re.search(r"JSONDecodeError: .*breaks_deep\.py, line 2\)$", refusal("breaks_deep"))


def test_a_syntax_error_names_its_line(write_module: WriteModule) -> None:
    write_module("misspelt", "x = 1\ndef broken(:\n")
    assert re.search(r"SyntaxError: .*misspelt\.py, line 2\)$", refusal("misspelt"))


def test_a_module_that_exits_does_not_take_the_service_with_it(write_module: WriteModule) -> None:
    write_module("leaves", "import sys\nsys.exit(3)\n")
    assert re.search(r"SystemExit: 3 \(.*leaves\.py, line 2\)$", refusal("leaves"))


def test_a_module_without_handlers_is_told(write_module: WriteModule) -> None:
    write_module("empty_one", "x = 1\n")
    assert refusal("empty_one") == 'module "empty_one" defines no Handlers object (handlers = duly.Handlers())'


def test_one_object_of_a_module_can_be_named(write_module: WriteModule) -> None:
    one = "@{0}.register('{0}')\nasync def run_{0}() -> None: ...\n"
    write_module(
        "two_objects", "from duly import Handlers\nnorth, south = Handlers(), Handlers()\n" + one.format("north")
    )
    assert "north" in load_registry(["two_objects:north"])
    assert "north" not in load_registry(["two_objects:south"])
    assert refusal("two_objects:west") == (
        'module "two_objects" defines no Handlers object named "west" (handlers = duly.Handlers())'
    )


def test_two_handlers_of_one_name_in_a_module_are_refused() -> None:
    handlers = Handlers()
    handlers.register("same")(takes_nothing)
    with pytest.raises(HandlerError, match='job type "same" has two handlers'):
        handlers.register("same")(takes_nothing)


def test_two_handlers_of_one_name_in_two_modules_are_refused(write_module: WriteModule) -> None:
    for name in ("first_of_two", "second_of_two"):
        write_module(name, OPENING + "@handlers.register('same')\nasync def same() -> None: ...\n")
    assert refusal("first_of_two", "second_of_two") == 'job type "same" has two handlers'


def test_a_built_in_type_cannot_be_taken_over_by_accident(write_module: WriteModule) -> None:
    write_module("own_echo", OPENING + "@handlers.register('echo')\nasync def same() -> None: ...\n")
    assert refusal("own_echo") == 'job type "echo" has two handlers'


def test_an_object_reached_twice_counts_once(write_module: WriteModule) -> None:
    write_module("origin", OPENING + "@handlers.register('one')\nasync def one() -> None: ...\n")
    write_module("importer", "from origin import handlers\n")
    assert "one" in load_registry(["origin", "importer", "origin:handlers"])


def test_installed_packages_announce_their_handlers(write_module: WriteModule, tmp_path: Path) -> None:
    write_module("announced", OPENING + "@handlers.register('announced')\nasync def one() -> None: ...\n")
    package = tmp_path / "announcing-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: announcing\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[duly.handlers]\nsome-name = announced:handlers\n")
    assert "announced" in load_registry(())
    assert list(load_users_own(())) == ["announced"]


def test_annotations_may_be_postponed(write_module: WriteModule) -> None:
    write_module(
        "postponed",
        "from __future__ import annotations\n"
        + OPENING
        + "from pydantic import BaseModel\n"
        + "class Size(BaseModel):\n    rows: int\n"
        + "@handlers.register('postponed')\nasync def run(job: JobContext, size: Size) -> list[int]: ...\n",
    )
    handler = load_registry(["postponed"])["postponed"]
    assert handler.signature.order == ("job", "parameters")
    assert read_parameters(handler, '{"rows": 3}').rows == 3


async def takes_nothing() -> None: ...


async def takes_parameters(parameters: dict[str, int]) -> None: ...


async def takes_context(job: JobContext) -> None: ...


async def takes_both(parameters: dict[str, int], job: JobContext) -> None: ...


async def takes_both_the_other_way(job: JobContext, parameters: int) -> None: ...


async def takes_both_unannotated(parameters, job) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001  # as users do


async def takes_a_default(parameters: int, *, retries: int = 3) -> None: ...


@pytest.mark.parametrize(
    ("function", "order"),
    [
        (takes_nothing, ()),
        (takes_parameters, ("parameters",)),
        (takes_context, ("job",)),
        (takes_both, ("parameters", "job")),
        (takes_both_the_other_way, ("job", "parameters")),
        (takes_both_unannotated, ("parameters", "job")),
        (takes_a_default, ("parameters",)),
    ],
)
def test_a_handler_takes_what_it_likes_of_parameters_and_context(
    function: Callable[..., Any], order: tuple[str, ...]
) -> None:
    handlers = Handlers()
    handlers.register("any")(function)
    assert next(iter(handlers)).signature.order == order


async def takes_two_parameters(one: int, two: int) -> None: ...


async def takes_three(one: int, job: JobContext, three: int) -> None: ...


async def takes_a_keyword(*, needed: int) -> None: ...


class Opaque:
    """Class that pydantic cannot validate."""


async def takes_an_opaque(parameters: Opaque) -> None: ...


async def returns_an_opaque() -> Opaque:
    return Opaque()


async def takes_an_unknown(parameters: "NoSuchName") -> None: ...  # type: ignore[name-defined]  # noqa: F821  # on purpose


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (takes_two_parameters, 'job type "bad": its function takes 2 arguments; expected are the parameters'),
        (takes_three, 'job type "bad": its function takes 3 arguments'),
        (takes_a_keyword, 'job type "bad": the argument "needed" is keyword-only and has no default'),
        (takes_an_opaque, 'job type "bad": pydantic cannot validate its parameters'),
        (returns_an_opaque, 'job type "bad": pydantic cannot validate its result'),
        (takes_an_unknown, "job type \"bad\": cannot resolve an annotation of its function: name 'NoSuchName'"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(HandlerError, match=re.escape(told)):
        Handlers().register("bad")(function)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"type": ""}, "'' is not a valid job type"),
        ({"type": "with space"}, "'with space' is not a valid job type"),
        ({"type": "x" * 129}, "is not a valid job type: at most 128 letters, digits and . _ : / -"),
        ({"timeout": 0}, "timeout=0 must be more than 0 and at most 30 days, in seconds"),
        ({"timeout": float("nan")}, "timeout=nan must be"),
        ({"timeout": 31 * 86400}, "timeout=2678400 must be"),
        ({"timeout": "60"}, "timeout='60' must be"),
        ({"max_attempts": 0}, "max_attempts=0 must be between 1 and 1000"),
        ({"max_attempts": 1001}, "max_attempts=1001 must be"),
        ({"max_attempts": 2.5}, "max_attempts=2.5 must be"),
        ({"retry": 5}, "retry=5 must be fixed(...), linear(...) or exponential(...)"),
        ({"isolation": "fiber"}, "isolation='fiber' must be task, thread or process"),
        ({"isolation": "thread"}, "an async function cannot run in a thread"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(HandlerError, match=re.escape(told)):
        Handlers().register(**{"type": "bad", **options})(takes_nothing)


def test_a_plain_function_is_no_task() -> None:
    def plain() -> None: ...

    with pytest.raises(HandlerError, match="a plain function cannot run as a task"):
        Handlers().register("bad", isolation="task")(plain)


def test_where_it_runs_follows_from_the_function() -> None:
    handlers = Handlers()

    def plain() -> None:
        """Description of the handler."""

    handlers.register("plain", retry=fixed(1))(plain)
    handlers.register("async")(takes_nothing)
    handlers.register("process", isolation="process", description="Other words.")(plain)
    assert [(handler.type, handler.isolation, handler.description) for handler in handlers] == [
        ("plain", "thread", "Description of the handler."),
        ("async", "task", ""),
        ("process", "process", "Other words."),
    ]
