"""`/openapi.json` and `/docs`: the document matches the service."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from duly.domain.events import Status
from tests.support.service import Service

# Each operation with its id, which generated clients call it by and which stays as it is, and its statuses beside those
# that all have.
ROUTES = {
    ("post", "/api/v1/jobs"): ("submitJob", "200 202 409 413 415 422 429 503"),
    ("put", "/api/v1/jobs/{jobId}"): ("submitJobWithId", "200 202 404 409 413 415 422 429 503"),
    ("post", "/api/v1/jobs/batch"): ("submitBatch", "202 409 413 415 422 429 503"),
    ("get", "/api/v1/batches"): ("listBatches", "200 422 503"),
    ("get", "/api/v1/batches/{batchId}"): ("getBatch", "200 404 422 503"),
    ("post", "/api/v1/batches/{batchId}/cancel"): ("cancelBatch", "200 202 404 422 503"),
    ("post", "/api/v1/jobs/retry"): ("retryJobs", "200 202 422 503"),
    ("post", "/api/v1/jobs/cancel"): ("cancelJobs", "200 202 422 503"),
    ("post", "/api/v1/jobs/{jobId}/retry"): ("retryJob", "202 400 404 409 413 415 422 503"),
    ("get", "/api/v1/jobs"): ("listJobs", "200 422 503"),
    ("get", "/api/v1/jobs/{jobId}"): ("getJob", "200 304 404 422 503"),
    ("get", "/api/v1/jobs/{jobId}/steps"): ("listJobSteps", "200 404 422 503"),
    ("post", "/api/v1/jobs/{jobId}/signals/{name}"): ("sendSignal", "200 202 404 409 413 415 422 503"),
    ("post", "/api/v1/jobs/{jobId}/cancel"): ("cancelJob", "200 202 404 409 422 503"),
    ("get", "/api/v1/jobs/{jobId}/events"): ("listJobEvents", "200 404 422 503"),
    ("get", "/api/v1/jobs/{jobId}/events/stream"): ("streamJobEvents", "200 204 404 422 503"),
    ("get", "/api/v1/jobs/{jobId}/why"): ("explainJob", "200 404 422 503"),
    ("get", "/api/v1/figures"): ("getFigures", "200 422 503"),
    ("get", "/api/v1/nodes"): ("listNodes", "200 422 503"),
    ("get", "/api/v1/scaling"): ("getScaling", "200 422 503"),
    ("get", "/api/v1/limits"): ("getSubmissionLimits", "200 422 503"),
    ("put", "/api/v1/limits"): ("setSubmissionLimits", "200 413 415 422 503"),
    ("delete", "/api/v1/limits"): ("resetSubmissionLimits", "204 422 503"),
    ("get", "/api/v1/jobs/{jobId}/logs"): ("listJobLogs", "200 404 422 503"),
    ("get", "/api/v1/events/stream"): ("streamEvents", "200 422 503"),
    ("post", "/api/v1/stream-tickets"): ("createStreamTicket", "201 404 413 415 422 503"),
    ("get", "/api/v1/job-types"): ("listJobTypes", "200 422 503"),
    ("post", "/api/v1/queues/{queue}/pause"): ("pauseQueue", "200 404 409 422 503"),
    ("post", "/api/v1/queues/{queue}/resume"): ("resumeQueue", "200 404 422 503"),
    ("get", "/api/v1/queues/{queue}/limits"): ("getQueueLimits", "200 404 422 503"),
    ("put", "/api/v1/queues/{queue}/limits"): ("setQueueLimits", "200 404 409 413 415 422 503"),
    ("delete", "/api/v1/queues/{queue}/limits"): ("deleteQueueLimits", "204 404 422 503"),
    ("get", "/api/v1/job-types/{type}/limits"): ("getJobTypeLimits", "200 404 422 503"),
    ("put", "/api/v1/job-types/{type}/limits"): ("setJobTypeLimits", "200 404 409 413 415 422 503"),
    ("delete", "/api/v1/job-types/{type}/limits"): ("deleteJobTypeLimits", "204 404 422 503"),
    ("get", "/api/v1/job-types/{type}"): ("getJobType", "200 404 422 503"),
    ("put", "/api/v1/job-types/{type}"): ("declareJobType", "200 201 404 409 413 415 422 503"),
    ("delete", "/api/v1/job-types/{type}"): ("deleteJobType", "204 404 409 422 503"),
    ("get", "/api/v1/queues"): ("listQueues", "200 422 503"),
    ("get", "/api/v1/queues/{queue}"): ("getQueue", "200 404 422 503"),
    ("get", "/api/v1/schedules"): ("listSchedules", "200 422 503"),
    ("post", "/api/v1/schedules"): ("createSchedule", "201 409 413 415 422 503"),
    ("get", "/api/v1/schedules/{name}"): ("getSchedule", "200 404 422 503"),
    ("put", "/api/v1/schedules/{name}"): ("putSchedule", "200 201 409 413 415 422 503"),
    ("patch", "/api/v1/schedules/{name}"): ("updateSchedule", "200 404 413 415 422 503"),
    ("delete", "/api/v1/schedules/{name}"): ("deleteSchedule", "204 404 422 503"),
    ("post", "/api/v1/schedules/{name}/run"): ("runSchedule", "200 202 404 409 422 503"),
    ("get", "/api/v1/schedules/{name}/due-times"): ("listDueTimes", "200 404 422 503"),
    ("get", "/api/v1/schedules/{name}/runs"): ("listScheduleRuns", "200 404 422 503"),
    ("get", "/api/v1/webhooks"): ("listWebhooks", "200 422 503"),
    ("post", "/api/v1/webhooks"): ("createWebhook", "201 409 413 415 422 503"),
    ("get", "/api/v1/webhooks/{webhookId}"): ("getWebhook", "200 404 422 503"),
    ("patch", "/api/v1/webhooks/{webhookId}"): ("updateWebhook", "200 404 413 415 422 503"),
    ("delete", "/api/v1/webhooks/{webhookId}"): ("deleteWebhook", "204 404 422 503"),
    ("get", "/api/v1/webhooks/{webhookId}/health"): ("getWebhookHealth", "200 404 422 503"),
    ("post", "/api/v1/webhooks/{webhookId}/test"): ("sendTestWebhook", "202 404 409 422 503"),
    ("post", "/api/v1/webhooks/{webhookId}/rotate-secret"): ("rotateWebhookSecret", "200 404 413 415 422 503"),
    ("get", "/api/v1/webhooks/{webhookId}/jwks.json"): ("getWebhookPublicKeys", "200 404 422 503"),
    ("get", "/api/v1/webhooks/{webhookId}/deliveries"): ("listWebhookDeliveries", "200 404 422 503"),
    ("post", "/api/v1/webhooks/{webhookId}/replay"): ("createReplay", "202 404 409 413 415 422 503"),
    ("get", "/api/v1/webhooks/{webhookId}/replays"): ("listReplays", "200 404 422 503"),
    ("get", "/api/v1/webhooks/{webhookId}/replays/{replayId}"): ("getReplay", "200 404 422 503"),
    ("get", "/api/v1/jobs/{jobId}/deliveries"): ("listJobDeliveries", "200 404 422 503"),
    ("get", "/api/v1/deliveries/{deliveryId}"): ("getDelivery", "200 404 422 503"),
    ("post", "/api/v1/deliveries/{deliveryId}/redeliver"): ("redeliverDelivery", "202 404 409 422 503"),
    ("post", "/api/v1/leases"): ("claimLeases", "200 413 415 422 503"),
    ("post", "/api/v1/leases/heartbeat"): ("heartbeatLeases", "200 413 415 422 503"),
    ("post", "/api/v1/leases/complete"): ("completeLeases", "200 413 415 422 503"),
    ("post", "/api/v1/leases/{leaseId}/heartbeat"): ("heartbeatLease", "200 404 409 413 415 422 503"),
    ("post", "/api/v1/leases/{leaseId}/complete"): ("completeLease", "200 404 409 413 415 422 503"),
    ("post", "/api/v1/leases/{leaseId}/fail"): ("failLease", "200 404 409 413 415 422 503"),
    ("post", "/api/v1/leases/{leaseId}/release"): ("releaseLease", "200 404 409 413 415 422 503"),
    ("post", "/api/v1/leases/{leaseId}/steps/{name}"): ("recordLeaseStep", "200 400 404 409 413 415 422 503"),
    ("post", "/api/v1/leases/{leaseId}/park"): ("parkLease", "200 400 404 409 413 415 422 503"),
    ("post", "/api/v1/leases/{leaseId}/jobs"): ("submitLeaseJobs", "202 404 409 413 415 422 503"),
    ("get", "/api/v1/keys"): ("listKeys", "200 422 503"),
    ("post", "/api/v1/keys"): ("createKey", "201 409 413 415 422 503"),
    ("delete", "/api/v1/keys/{keyId}"): ("revokeKey", "204 404 422 503"),
    ("post", "/api/v1/keys/{keyId}/rotate"): ("rotateKey", "201 404 409 413 415 422 503"),
    ("get", "/api/v1/audit"): ("listAuditLog", "200 422 503"),
    ("get", "/api/v1/tenants"): ("listTenants", "200 422 503"),
    ("post", "/api/v1/tenants"): ("createTenant", "201 409 413 415 422 503"),
    ("get", "/api/v1/tenants/{tenant}"): ("getTenant", "200 404 422 503"),
    ("patch", "/api/v1/tenants/{tenant}"): ("updateTenant", "200 404 413 415 422 503"),
    ("get", "/healthz"): ("getHealth", "200"),
    ("get", "/readyz"): ("getReadiness", "200 503"),
    ("get", "/metrics"): ("getMetrics", "200"),
}
FILTERS = {"status", "type", "queue", "batchId", "parentId", "label", "createdAfter", "createdBefore"}
OF_ALL = {"400", "401", "403"}
OPEN = {"/healthz", "/readyz", "/metrics"}
# Ids that are not UUIDs.
OTHER_IDS = {"correlationId", "requestId", "keyId", "leaseId"}
ERROR = {"$ref": "#/components/schemas/ErrorBody"}


@pytest.fixture
async def document(contract: Service) -> dict[str, Any]:
    response = await contract.client.get("/openapi.json")
    assert response.status_code == 200
    read: dict[str, Any] = response.json()
    return read


def _all_nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _all_nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from _all_nodes(child)


async def test_the_document_is_openapi_of_this_product(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Duly"
    assert document["info"]["version"]
    assert document["info"]["license"]["name"] == "Apache License 2.0"
    assert "HEAD" in document["info"]["description"] and "OPTIONS" in document["info"]["description"]
    assert set(document) == {"openapi", "info", "paths", "components", "security", "tags", "servers"}


def _operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}


async def test_every_route_is_there_under_its_own_id_with_every_status(document: dict[str, Any]) -> None:
    found = {
        place: (operation["operationId"], set(operation["responses"]))
        for place, operation in _operations(document).items()
    }

    assert found == {
        (method, path): (name, {*statuses.split(), *(("400",) if path in OPEN else OF_ALL)})
        for (method, path), (name, statuses) in ROUTES.items()
    }
    assert len({name for name, _ in ROUTES.values()}) == len(ROUTES)


async def test_the_server_is_where_the_document_was_asked_for(document: dict[str, Any]) -> None:
    assert document["servers"] == [{"url": "/"}]


async def test_summaries_are_phrases_and_descriptions_are_sentences(document: dict[str, Any]) -> None:
    operations = _operations(document).values()
    described = [node["description"] for node in (*operations, *document["tags"], *_members(document))]

    assert [each["summary"] for each in operations if not re.fullmatch(r"[A-Z][^.]+", each["summary"])] == []
    assert len({each["summary"] for each in operations}) == len(operations)
    assert [text for text in described if not re.fullmatch(r"[A-Z`].*[.`]", text, re.DOTALL)] == []


def _members(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    schemas = document["components"]["schemas"].values()
    parameters = [member for operation in _operations(document).values() for member in operation.get("parameters", ())]
    for node in (*schemas, *(member for schema in schemas for member in schema.get("properties", {}).values())):
        if "description" in node:
            yield node
    yield from parameters


async def test_every_tag_is_described_and_used(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}

    assert described == {tag for operation in _operations(document).values() for tag in operation["tags"]}


async def test_ids_and_times_have_their_formats(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for member, described in schema.get("properties", {}).items():
            options = [described, *described.get("anyOf", ()), described.get("items", {})]
            formats = {option.get("format") for option in options} - {None}
            if member.endswith(("At", "Until")) or member in {"since", "failingSince", "at"}:
                assert formats == {"date-time"}, (name, member)
            if name.endswith("Body") and (member.endswith(("Id", "Ids")) or member == "dependsOn"):
                assert member in OTHER_IDS or formats == {"uuid"}, (name, member)
    for (_, path), operation in _operations(document).items():
        for member in operation.get("parameters", ()):
            if member["in"] == "path":
                is_uuid = member["name"].endswith("Id") and member["name"] not in OTHER_IDS
                assert member["schema"].get("format") == ("uuid" if is_uuid else None), path


async def test_an_id_of_another_form_is_not_found_all_the_same(contract: Service) -> None:
    for path in ("jobs/none", "batches/none", "webhooks/none", "deliveries/none"):
        assert (await contract.client.get(f"/api/v1/{path}")).status_code == 404, path


async def test_every_parameter_is_described_and_none_is_null(document: dict[str, Any]) -> None:
    for place, operation in _operations(document).items():
        for member in operation.get("parameters", ()):
            assert member["description"], (place, member["name"])
            assert {"type": "null"} not in member["schema"].get("anyOf", ()), (place, member["name"])


async def test_no_member_has_a_default_or_a_title(document: dict[str, Any]) -> None:
    """Generators for TypeScript make a member with a default required, and a type of its own for a title."""
    members = [
        (name, member, described)
        for name, schema in document["components"]["schemas"].items()
        for member, described in schema.get("properties", {}).items()
    ]

    assert [(name, member) for name, member, described in members if {"default", "title"} & set(described)] == []
    priority = document["components"]["schemas"]["Submission"]["properties"]["priority"]
    assert priority["description"] == "Higher priorities run first. Default: `0`"


async def test_the_status_of_a_job_is_one_type_everywhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert schemas["JobStatus"]["enum"] == [*Status]
    for name in ("JobBody", "AcceptedBody", "BatchBody", "WhyBody"):
        assert schemas[name]["properties"]["status"]["$ref"] == "#/components/schemas/JobStatus", name


async def test_what_may_be_absent_of_an_answer_is_neither_required_nor_null(document: dict[str, Any]) -> None:
    for name, member in (
        *(("AcceptedBody", "deduplicated"), ("ErrorDetails", "errors"), ("PathErrorBody", "index")),
        *(("JobErrorDetails", "exception"), ("JobErrorDetails", "frames")),
    ):
        schema = document["components"]["schemas"][name]
        assert member not in schema["required"]
        assert "anyOf" not in schema["properties"][member]


@pytest.mark.parametrize(
    ("name", "status", "headers"),
    [
        ("submitJob", "202", {"Location", "Retry-After", "Idempotency-Replayed", "Preference-Applied"}),
        ("submitJob", "200", {"Location", "ETag", "Idempotency-Replayed", "Preference-Applied"}),
        ("submitJob", "429", {"Retry-After", "RateLimit", "RateLimit-Policy"}),
        ("submitJob", "503", {"Retry-After"}),
        ("getJob", "200", {"ETag", "Retry-After"}),
        ("getJob", "304", {"ETag", "Retry-After"}),
        ("listJobs", "401", {"WWW-Authenticate"}),
        ("createSchedule", "201", {"Location"}),
        ("listJobs", "200", {"Duly-Cells-Away"}),
    ],
)
async def test_the_headers_of_answers_are_documented(
    document: dict[str, Any], name: str, status: str, headers: set[str]
) -> None:
    [found] = [each for each in _operations(document).values() if each["operationId"] == name]

    assert set(found["responses"][status]["headers"]) == {"X-Request-Id", *headers}
    assert headers <= set(document["components"]["headers"])


async def test_documented_headers_are_those_that_are_sent(contract: Service, document: dict[str, Any]) -> None:
    submitted = await contract.client.post("/api/v1/jobs", json={"type": "echo"}, headers={"Prefer": "wait=20"})
    read = await contract.client.get(submitted.headers["Location"])
    again = await contract.client.get(submitted.headers["Location"], headers={"If-None-Match": read.headers["ETag"]})
    made = await contract.client.post(
        "/api/v1/schedules", json={"name": "of-headers", "cron": "@yearly", "submission": {"type": "echo"}}
    )
    known = {name.lower() for name in document["components"]["headers"]} | {"cache-control", "content-length"}
    for response, method, path in (
        (submitted, "post", "/api/v1/jobs"),
        (read, "get", "/api/v1/jobs/{jobId}"),
        (again, "get", "/api/v1/jobs/{jobId}"),
        (made, "post", "/api/v1/schedules"),
    ):
        described = document["paths"][path][method]["responses"][str(response.status_code)]["headers"]
        undescribed = set(response.headers) & known - {name.lower() for name in described}
        assert undescribed <= {"cache-control", "content-length"}, (path, response.status_code)


async def test_the_text_is_the_same_in_every_process() -> None:
    program = (
        "import orjson; from duly.api.app import routes_of; "
        "print(orjson.dumps(routes_of(serving=True).openapi()).decode())"
    )
    texts = set()
    # A service builds most models when they are used, here first.
    for seed, first in (("1", ""), ("2", "from duly.cli.lean_imports import import_server; import_server(); ")):
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", first + program),
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(180):
            printed, _ = await running.communicate()
        assert running.returncode == 0
        texts.add(printed)
    assert len(texts) == 1


async def test_every_reference_resolves_and_no_schema_is_left_over(document: dict[str, Any]) -> None:
    references = {node["$ref"] for node in _all_nodes(document) if isinstance(node.get("$ref"), str)}

    parts = {f"#/components/{of}/{name}" for of in ("schemas", "headers") for name in document["components"][of]}
    assert references == parts


async def test_every_error_is_documented_in_the_one_shape(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                assert response["description"], path
                if int(status) >= 400:
                    assert response["content"]["application/json"]["schema"] == ERROR, (path, status)


async def test_operations_declare_their_path_members(document: dict[str, Any]) -> None:
    operations = [(path, operation) for path, item in document["paths"].items() for operation in item.values()]

    for path, operation in operations:
        declared = {member["name"] for member in operation.get("parameters", ()) if member["in"] == "path"}
        assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert operation["description"] or operation["summary"]


async def test_a_submission_is_documented_with_its_bounds_and_headers(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/jobs"]["post"]
    schema = document["components"]["schemas"]["Submission"]

    assert operation["requestBody"]["required"] is True
    assert schema["required"] == ["type"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["priority"]["minimum"] == -100
    assert schema["properties"]["priority"]["maximum"] == 100
    assert {member["name"] for member in operation["parameters"]} == {
        *("Idempotency-Key", "Prefer", "X-Correlation-Id", "traceparent")
    }
    named = document["paths"]["/api/v1/jobs/{jobId}"]["put"]
    assert named["requestBody"] == operation["requestBody"]
    assert {member["name"] for member in named["parameters"] if member["in"] == "header"} == {
        member["name"] for member in operation["parameters"]
    }


def _collections(document: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, bool]]:
    """Yields each list of a body, and each object with any members: its path, its type, and whether it is bounded."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _collections(document, each, path)
    if schema.get("type") == "array":
        yield path, "array", "maxItems" in schema
        yield from _collections(document, schema.get("items", {}), f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield path, "object", "maxProperties" in schema
    for name, member in schema.get("properties", {}).items():
        yield from _collections(document, member, f"{path}.{name}")


async def test_every_list_in_a_body_is_bounded(document: dict[str, Any]) -> None:
    # Without a bound, a body of the allowed size has an error for each of 500,000 items.
    found = [
        (operation["operationId"], *each)
        for operation in _operations(document).values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for each in _collections(document, content["schema"], "")
    ]
    assert ("createKey", ".scopes", "array", True) in found
    assert [each for each in found if not each[-1]] == []


async def test_both_forms_of_a_batch_are_documented(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/jobs/batch"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/x-ndjson"}
    assert {(member["in"], member["name"]) for member in operation["parameters"]} == {
        ("query", "name"),
        *(("header", name) for name in ("Idempotency-Key", "X-Correlation-Id", "traceparent")),
    }
    assert "deduplicated" in document["components"]["schemas"]["AcceptedBody"]["properties"]


async def test_many_jobs_are_chosen_by_the_filters_of_the_list(document: dict[str, Any]) -> None:
    for path in ("/api/v1/jobs/retry", "/api/v1/jobs/cancel"):
        names = {member["name"] for member in document["paths"][path]["post"]["parameters"]}
        assert names == {*FILTERS, "dryRun"}


async def test_the_queries_of_the_list_are_documented(document: dict[str, Any]) -> None:
    names = {member["name"] for member in document["paths"]["/api/v1/jobs"]["get"]["parameters"]}

    assert names == {*FILTERS, "limit", "cursor"}
    wait = document["paths"]["/api/v1/jobs/{jobId}"]["get"]["parameters"]
    assert {"wait", "If-None-Match"} <= {member["name"] for member in wait}


async def test_the_key_is_documented(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer") and scheme["description"]
    assert {"key": []} in document["security"]
    for path in OPEN:
        assert document["paths"][path]["get"]["security"] == []


async def test_streams_are_documented_as_such(document: dict[str, Any]) -> None:
    for path in ("/api/v1/events/stream", "/api/v1/jobs/{jobId}/events/stream"):
        operation = document["paths"][path]["get"]
        assert operation["responses"]["200"]["content"]["text/event-stream"]["schema"] == {"type": "string"}
        assert {"Last-Event-ID", "lastEventId", "ticket"} <= {member["name"] for member in operation["parameters"]}


async def test_the_page_for_people_loads(contract: Service) -> None:
    response = await contract.client.get("/docs")

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    assert "/openapi.json" in response.text
