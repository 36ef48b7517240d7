"""A published fuzzer finds no response that differs from the OpenAPI document, and no internal error."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.keys import OWN
from tests.support.schemathesis_run import document_of, fuzz
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
# By number, not by time: a slow machine tries as much as a fast one. FUZZ_EXAMPLES=200 for a longer look.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "10")
LEAST_CASES = 500
ARGUMENTS = (
    *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance"),
    *("--checks", "response_schema_conformance", "--phases", "examples,fuzzing,stateful", "--max-examples", EXAMPLES),
)


@pytest.mark.timeout(900)  # some thousand requests, one after another
@pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
async def test_schemathesis_finds_nothing(start_service: StartService, tmp_path: Path) -> None:
    # With a key: without one, the first key that the fuzzer creates would lock it out.
    service = await start_service(api_key=OWN)
    document = await document_of(service)
    fuzzed = await fuzz(service, document, folder=tmp_path, key=OWN, arguments=ARGUMENTS)
    assert fuzzed.code == 0, fuzzed.report[-6000:]
    assert fuzzed.cases >= LEAST_CASES, fuzzed.report[-3000:]
    recorded = await service.total("select count(*) from jobs")
    assert recorded >= 1, fuzzed.report[-3000:]
