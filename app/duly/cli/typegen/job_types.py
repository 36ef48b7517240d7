"""Types of the parameters and results of job types, as one source file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from duly.cli.typegen.model import Definition, Reference, Type
from duly.cli.typegen.names import Names, pascal_case
from duly.cli.typegen.python_types import imports_of, python_types
from duly.cli.typegen.schema import SchemaReader
from duly.cli.typegen.typescript_types import member_name, typescript_types

Language: TypeAlias = Literal["py", "ts"]


@dataclass(frozen=True, slots=True)
class JobTypeSchemas:
    """JSON Schemas of one job type."""

    type: str
    parameters: Any
    result: Any


@dataclass(frozen=True, slots=True)
class _NamedTypes:
    type: str
    parameters: str
    result: str


def write_types(job_types: Iterable[JobTypeSchemas], *, language: Language) -> str:
    """Returns a source file with the types of each job type, by name: `ReportGenerationParameters` and `…Result`."""
    names = Names()
    definitions: list[Definition] = []
    named = []
    for job_type in sorted(job_types, key=lambda one: one.type):
        parameters, result = (
            _define(definitions, names, name=f"{pascal_case(job_type.type)} {part}", schema=schema)
            for part, schema in (("Parameters", job_type.parameters), ("Result", job_type.result))
        )
        named.append(_NamedTypes(job_type.type, parameters, result))
    return _python(definitions, named) if language == "py" else _typescript(definitions, named)


def _define(definitions: list[Definition], names: Names, *, name: str, schema: Any) -> str:
    reader = SchemaReader(schema if isinstance(schema, Mapping) else {}, names=names, prefix=name)
    defined: Type = reader.define(name, schema)
    assert isinstance(defined, Reference)  # noqa: S101  # what `define` returns
    definitions += reader.definitions
    return defined.name


def _python(definitions: list[Definition], named: Iterable[_NamedTypes]) -> str:
    rows = "".join(f"# {one.type}: {one.parameters}, {one.result}\n" for one in named)
    head = '"""Types of the parameters and results of job types, written by `duly types --lang py`."""'
    body = python_types(definitions)
    return f"{head}\n\n{imports_of(body)}\n{rows}\n\n{body}"


def _typescript(definitions: list[Definition], named: Iterable[_NamedTypes]) -> str:
    rows = "".join(
        f"  {member_name(one.type)}: {{ parameters: {one.parameters}; result: {one.result} }};\n" for one in named
    )
    head = "// Types of the parameters and results of job types, written by `duly types --lang ts`."
    table = f"/** Parameters and result of each job type. */\nexport interface JobTypes {{\n{rows}}}\n"
    return f"{head}\n\n{typescript_types(definitions)}\n{table}"
