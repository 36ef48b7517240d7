"""Validation of values by a JSON Schema, which clients may choose.

Nothing is fetched, patterns are matched in linear time, and a value that would take long is refused before.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError, ValidationErrorKind

from duly.domain.json_depth import depth_of
from duly.domain.json_reader import read_kept
from duly.domain.schema_subschemas import SchemaRefused
from duly.domain.schema_work import SchemaWork
from duly.domain.unstorable_json import write_path
from duly.errors import PathError
from duly.handlers.serialization import MOST_ERRORS

# Of each compiled pattern, and of the cache of its automaton, in bytes. `RegexOptions` chooses the engine without
# backtracking, which refuses look-around and back-references.
PATTERN_BYTES, AUTOMATON_BYTES = 2**16, 2**20
# Visits for each byte of a value, times its bytes: half a second at most.
MOST_WORK = 100_000_000
# Depth of a value at which its visits are computed first; most values are not so deep.
DEEP = 256


class SchemaValidator:
    """Compiled schema.

    Args:
        schema: JSON text of the schema.

    Raises:
        SchemaRefused: it is no JSON Schema 2020-12, or not one that can be used safely.
    """

    def __init__(self, schema: str) -> None:
        read = json.loads(schema)
        self._work = SchemaWork(read) if isinstance(read, dict) else None
        self._most = self._work.visits(DEEP) if self._work is not None else 1
        try:
            self._validator = Draft202012Validator(
                read,
                mask="the value",
                offline=True,
                validate_formats=True,
                pattern_options=RegexOptions(size_limit=PATTERN_BYTES, dfa_size_limit=AUTOMATON_BYTES),
            )
        except ValidationError as error:
            raise _refused(error) from None

    def fits(self, text: str) -> bool:
        """Returns whether a value, as stored JSON text, is valid."""
        return not self.errors(read_kept(text), text, root="")

    def errors(self, value: object, text: str, *, root: str) -> list[PathError]:
        """Returns the first faults of a value; none if it is valid.

        Args:
            value: the value as `read_json` returns it.
            text: its JSON text.
            root: path of the value, such as `parameters`.
        """
        if (size := len(text)) * self._most > MOST_WORK and self._is_too_much(value, size):
            return [
                PathError(root, "is too large, or nested too deeply, to be validated by the schema of its job type")
            ]
        try:
            valid = self._validator.is_valid(value)
        except ValueError:  # a number that keeps its text
            value = json.loads(text, parse_float=Decimal)
            valid = self._validator.is_valid(value)
        return [] if valid else list(islice(self._errors(value, root), MOST_ERRORS))

    def _is_too_much(self, value: object, size: int) -> bool:
        return self._work is not None and size * self._work.visits(depth_of(value)) > MOST_WORK

    def _errors(self, value: Any, root: str) -> Iterator[PathError]:
        for error in self._validator.iter_errors(value):
            place = (root, *error.instance_path)
            match error.kind:
                case ValidationErrorKind.Required(name):
                    yield PathError(write_path((*place, name)), "is required")
                case ValidationErrorKind.AdditionalProperties(names) | ValidationErrorKind.UnevaluatedProperties(names):
                    yield from (PathError(write_path((*place, name)), "is not allowed") for name in names)
                case _:
                    yield PathError(write_path(place), error.message)


def _refused(error: ValidationError) -> SchemaRefused:
    """Returns the error of a schema that its meta-schema does not allow."""
    path = tuple(error.instance_path)
    if error.kind.name == "format":
        message = "is not a pattern that can be matched in linear time, without look-around and back-references"
        return SchemaRefused(path, message)
    return SchemaRefused(path, error.message.partition("\n")[0])
