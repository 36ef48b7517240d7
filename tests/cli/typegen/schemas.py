"""JSON Schemas of job types: of ordinary models, and hostile ones."""

from typing import Any

from duly.cli.typegen.job_types import JobTypeSchemas

TREE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "description": "Node of a tree.",
            "properties": {
                "value": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["value", "children"],
        }
    },
}
REPORT = {
    "type": "object",
    "properties": {
        "startDate": {"type": "string", "format": "date", "description": "First day."},
        "format": {"enum": ["pdf", "csv", None]},
        "rows": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
        "totals": {"type": "object", "additionalProperties": {"type": "number"}},
        "owner": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        "options": {"type": ["array", "null"], "items": {"oneOf": [{"const": 1}, {"const": "all"}]}},
        "labels": {"type": "object", "patternProperties": {"^[^:]+$": {"type": "string"}}},
        "anything": {},
    },
    "required": ["startDate", "owner"],
}
REPORT_VALUE = {
    "startDate": "2026-01-27",
    "format": None,
    "rows": [1, "a"],
    "totals": {"a": 0.5},
    "owner": {"id": 1},
    "options": [1, "all"],
    "labels": {"customer": "c-42"},
    "anything": [None],
}

# Each ends a comment, a text, a template or a line somewhere, or has a meaning in one of the languages.
HOSTILE_TEXTS = (
    "*/ export const evil = 1; /*",
    '"""\nevil = 1\n"""',
    "'''\\",
    "\\",
    "`${process.exit(7)}`",
    "\u2028evil = 1\u2029",
    "a\r\nevil = 1",
    "\x00\x1b[31m\x0c",
    "@ts-ignore",
    "type: ignore",
    "</script>",
    "%s{}",
    '"',
    "\\N{BULLET}",
)
HOSTILE_NAMES = (
    *HOSTILE_TEXTS,
    *("", " ", "class", "None", "__init__", "__private", "__proto__", "constructor", "default", "1st", "a-b", "größe"),
    *("str", "int", "list", "Any", "HostileParametersRow", "self", "total"),
)


def hostile_schema() -> dict[str, Any]:
    """Returns a schema whose names, descriptions and values are hostile."""
    described = {name: {"type": "string", "description": name, "title": name} for name in HOSTILE_NAMES}
    return {
        "type": "object",
        "description": "\n".join((*HOSTILE_TEXTS, "\ud800")),
        "properties": {
            **described,
            "row": {"$ref": "#/$defs/Row"},
            "escaped": {"$ref": "#/$defs/a~1b~0c"},
            "values": {"enum": [*HOSTILE_TEXTS, 7, True]},
            "plain": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in ("Row*/", "Row!", "row")]},
        },
        "required": [*HOSTILE_NAMES, "row"],
        "$defs": {
            **{
                name: {"type": "object", "properties": {"n": {"type": "integer"}}}
                for name in ("Row", "Row*/", "Row!", "row")
            },
            "a/b~c": {"type": "integer"},
        },
    }


JOB_TYPES = (
    JobTypeSchemas("report-generation", REPORT, TREE),
    JobTypeSchemas("double", {"type": "integer"}, {"type": ["integer", "null"]}),
    JobTypeSchemas("report.generation", {}, True),
    JobTypeSchemas("hostile", hostile_schema(), {"type": "object", "properties": {"a": {"type": "string"}}}),
    JobTypeSchemas("7", {"$ref": "https://example.com/schema"}, {"$ref": "#/missing"}),
    JobTypeSchemas(
        "self", {"type": "object", "properties": {"again": {"$ref": "#"}}}, {"type": "array", "items": {"$ref": "#"}}
    ),
    JobTypeSchemas("odd", {"type": "float", "enum": [0.5]}, {"allOf": [{"type": "object"}, {"minProperties": 1}]}),
)
