"""Writes `app/duly/client/answers.py`, the types of what the service returns, from the OpenAPI document.

Run `python -m tests.client_answers` after a change of the document.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from duly.api.app import routes_of
from duly.api.openapi import document_of
from duly.cli.typegen.names import Names
from duly.cli.typegen.python_types import python_types
from duly.cli.typegen.schema import SchemaReader

FILE = Path(__file__).parents[1] / "app/duly/client/answers.py"
HEAD = '''"""Types of what the service returns: dictionaries with the members of the HTTP API.

A later release may return more members and more values of a literal; they are kept.
Written by `python -m tests.client_answers`.
"""

from typing import Any, Generic, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict, TypeVar

ResultT = TypeVar("ResultT", default=Any)

'''
ANSWERS = (
    *("Accepted", "AcceptedBatch", "Job", "Batch", "Cancelled", "Retried", "Why", "Event", "LogLine", "Ticket"),
    *("Signal", "Step"),
    *("Queue", "StartLimits", "SubmissionLimits", "JobType", "Schedule"),
    *("Webhook", "DisclosedWebhook", "Jwks", "SentTest", "Delivery", "WholeDelivery", "Replay"),
    *("Key", "DisclosedKey"),
    *("DueTimes", "ScheduleRun", "WebhookHealth", "Figures", "Node", "Scaling"),
)


def document() -> dict[str, Any]:
    """Returns the OpenAPI document, in which a response has the name of what it describes."""
    found: dict[str, Any] = document_of(routes_of(serving=True))
    schemas = found["components"]["schemas"]
    names = {name: name.removesuffix("Body") for name in schemas}
    # The request to make a thing gives way to the thing.
    names |= {name: f"{name}Request" for name in schemas if f"{name}Body" in schemas}
    text = re.sub(r'(?<="#/components/schemas/)\w+', lambda match: names[match[0]], json.dumps(schemas))
    return {"components": {"schemas": {names[name]: schema for name, schema in json.loads(text).items()}}}


def source() -> str:
    """Returns the content of the file."""
    reader = SchemaReader(document(), names=Names(), prefix="")
    for name in ANSWERS:
        reader.reference(f"#/components/schemas/{name}")
    before, start, rest = python_types(reader.definitions).partition("class Job(TypedDict")
    generic = "class Job(TypedDict, Generic[ResultT]" + rest.replace("    result: Any", "    result: ResultT | None", 1)
    assert start
    ruff = [str(Path(sys.executable).with_name("ruff")), "format", "--stdin-filename", str(FILE), "-"]
    formatted = subprocess.run(ruff, input=HEAD + before + generic, capture_output=True, text=True, check=True)
    return formatted.stdout


if __name__ == "__main__":
    FILE.write_text(source())
