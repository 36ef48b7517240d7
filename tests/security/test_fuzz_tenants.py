"""A published fuzzer with the key of one tenant, and the ids of two, changes nothing of the other one."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.handlers import gate
from tests.support.keys import OWN
from tests.support.schemathesis_run import document_of, fuzz
from tests.support.service import Service
from tests.support.two_tenants import Holdings, holdings_of, rows_of, settled_rows_of
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Awaitable[Service]]
LEAST_CASES = 200
ARGUMENTS = (
    *("--checks", "not_a_server_error,response_schema_conformance", "--phases", "fuzzing", "--mode", "positive"),
    *("--max-examples", "4", "--seed", "1", "--generation-database", "none"),
)
MEMBERS = {"jobId": "jobId", "batchId": "batchId", "uniqueKey": "uniqueKey", "concurrencyKey": "concurrencyKey"}


@pytest.mark.timeout(900)  # some thousand requests, one after another
@pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
async def test_a_fuzzer_with_the_ids_of_another_tenant_changes_nothing_of_it(
    start_service: StartService, receiver: Receiver, tmp_path: Path
) -> None:
    service = await start_service(api_key=OWN)
    theirs = await holdings_of(service, "theirs", word="secret-of-theirs", receiver_url=receiver.url)
    mine = await holdings_of(service, "mine", word="own", receiver_url=receiver.url)
    document = with_ids(await document_of(service), mine=mine, theirs=theirs)
    before = await settled_rows_of(service, theirs.tenant)
    fuzzed = await fuzz(service, document, folder=tmp_path, key=mine.key, arguments=ARGUMENTS)
    assert fuzzed.code == 0, fuzzed.report[-6000:]
    assert fuzzed.cases >= LEAST_CASES, fuzzed.report[-3000:]
    assert await rows_of(service, theirs.tenant) == before
    for holdings in (mine, theirs):
        gate(holdings.word).set()


def with_ids(document: dict[str, Any], *, mine: Holdings, theirs: Holdings) -> dict[str, Any]:
    """Returns a document whose parameters and members name data of these tenants."""
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] != "header" and (ids := _ids(parameter["name"], mine, theirs)):
                    parameter["schema"] = {"type": "string", "enum": ids}
    for schema in document["components"]["schemas"].values():
        for name, kind in MEMBERS.items():
            if name in schema.get("properties", {}) and _is_of_a_request(schema):
                schema["properties"][name] = {"type": "string", "enum": _ids(kind, mine, theirs)}
    return document


def _is_of_a_request(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is False


def _ids(kind: str, mine: Holdings, theirs: Holdings) -> list[str]:
    return [*theirs.ids.get(kind, []), *mine.ids.get(kind, [])] if kind != "tenant" else []
