"""`/openapi.json` and `/docs`: the document says what the service does."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.service import Service

ROUTES = {
    ("post", "/api/v1/jobs"): {"200", "202", "400", "401", "409", "413", "415", "422", "429", "503"},
    ("put", "/api/v1/jobs/{job_id}"): {"200", "202", "400", "401", "404", "409", "413", "415", "422", "429", "503"},
    ("post", "/api/v1/jobs/batch"): {"202", "400", "401", "409", "413", "415", "422", "429", "503"},
    ("get", "/api/v1/batches/{batch_id}"): {"200", "401", "404", "422", "503"},
    ("post", "/api/v1/batches/{batch_id}/cancel"): {"200", "202", "401", "404", "422", "503"},
    ("post", "/api/v1/jobs/retry"): {"202", "401", "422", "503"},
    ("post", "/api/v1/jobs/cancel"): {"202", "401", "422", "503"},
    ("post", "/api/v1/jobs/{job_id}/retry"): {"202", "401", "404", "409", "422", "503"},
    ("get", "/api/v1/jobs"): {"200", "401", "422", "503"},
    ("get", "/api/v1/jobs/{job_id}"): {"200", "304", "401", "404", "422", "503"},
    ("post", "/api/v1/jobs/{job_id}/cancel"): {"200", "202", "401", "404", "409", "422", "503"},
    ("get", "/api/v1/jobs/{job_id}/events"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/jobs/{job_id}/events/stream"): {"200", "204", "401", "404", "422", "503"},
    ("get", "/api/v1/jobs/{job_id}/why"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/limits"): {"200", "401", "422", "503"},
    ("put", "/api/v1/limits"): {"200", "400", "401", "413", "415", "422", "503"},
    ("delete", "/api/v1/limits"): {"204", "401", "422", "503"},
    ("get", "/api/v1/jobs/{job_id}/logs"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/events/stream"): {"200", "401", "422", "503"},
    ("post", "/api/v1/stream-tickets"): {"201", "400", "401", "404", "413", "415", "422", "503"},
    ("get", "/api/v1/job-types"): {"200", "401", "422", "503"},
    ("post", "/api/v1/queues/{queue}/pause"): {"200", "401", "404", "422", "503"},
    ("post", "/api/v1/queues/{queue}/resume"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/queues/{queue}/limits"): {"200", "401", "404", "422", "503"},
    ("put", "/api/v1/queues/{queue}/limits"): {"200", "400", "401", "404", "413", "415", "422", "503"},
    ("delete", "/api/v1/queues/{queue}/limits"): {"204", "401", "404", "422", "503"},
    ("get", "/api/v1/job-types/{type}/limits"): {"200", "401", "404", "422", "503"},
    ("put", "/api/v1/job-types/{type}/limits"): {"200", "400", "401", "404", "413", "415", "422", "503"},
    ("delete", "/api/v1/job-types/{type}/limits"): {"204", "401", "404", "422", "503"},
    ("get", "/api/v1/job-types/{type}"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/queues"): {"200", "401", "422", "503"},
    ("get", "/api/v1/queues/{queue}"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/schedules"): {"200", "401", "422", "503"},
    ("post", "/api/v1/schedules"): {"201", "400", "401", "409", "413", "415", "422", "503"},
    ("get", "/api/v1/schedules/{name}"): {"200", "401", "404", "422", "503"},
    ("patch", "/api/v1/schedules/{name}"): {"200", "400", "401", "404", "413", "415", "422", "503"},
    ("delete", "/api/v1/schedules/{name}"): {"204", "401", "404", "422", "503"},
    ("post", "/api/v1/schedules/{name}/run"): {"200", "202", "401", "404", "409", "422", "503"},
    ("get", "/api/v1/webhooks"): {"200", "401", "422", "503"},
    ("post", "/api/v1/webhooks"): {"201", "400", "401", "409", "413", "415", "422", "503"},
    ("get", "/api/v1/webhooks/{webhookId}"): {"200", "401", "404", "422", "503"},
    ("patch", "/api/v1/webhooks/{webhookId}"): {"200", "400", "401", "404", "413", "415", "422", "503"},
    ("delete", "/api/v1/webhooks/{webhookId}"): {"204", "401", "404", "422", "503"},
    ("post", "/api/v1/webhooks/{webhookId}/test"): {"202", "401", "404", "409", "422", "503"},
    ("post", "/api/v1/webhooks/{webhookId}/rotate-secret"): {"200", "400", "401", "404", "413", "415", "422", "503"},
    ("get", "/api/v1/webhooks/{webhookId}/jwks.json"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/webhooks/{webhookId}/deliveries"): {"200", "401", "404", "422", "503"},
    ("post", "/api/v1/webhooks/{webhookId}/replay"): {"202", "400", "401", "404", "409", "413", "415", "422", "503"},
    ("get", "/api/v1/webhooks/{webhookId}/replays"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/webhooks/{webhookId}/replays/{replayId}"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/jobs/{job_id}/deliveries"): {"200", "401", "404", "422", "503"},
    ("get", "/api/v1/deliveries/{deliveryId}"): {"200", "401", "404", "422", "503"},
    ("post", "/api/v1/deliveries/{deliveryId}/redeliver"): {"202", "401", "404", "409", "422", "503"},
    ("get", "/healthz"): {"200"},
    ("get", "/readyz"): {"200", "503"},
    ("get", "/metrics"): {"200"},
}
ERROR = {"$ref": "#/components/schemas/ErrorBody"}


@pytest.fixture
async def document(contract: Service) -> dict[str, Any]:
    answer = await contract.client.get("/openapi.json")
    assert answer.status_code == 200
    read: dict[str, Any] = answer.json()
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
    assert set(document) <= {"openapi", "info", "paths", "components", "security", "tags", "servers"}


async def test_every_route_is_there_with_every_status(document: dict[str, Any]) -> None:
    found = {
        (method, path): set(operation["responses"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }

    # A key that lacks and a page of another site may be met anywhere.
    assert found == {route: statuses | {"403"} if "401" in statuses else statuses for route, statuses in ROUTES.items()}


async def test_every_reference_resolves_and_no_schema_is_left_over(document: dict[str, Any]) -> None:
    references = {node["$ref"] for node in _all_nodes(document) if isinstance(node.get("$ref"), str)}

    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references == schemas


async def test_every_error_is_documented_in_the_one_shape(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                assert answer["description"], path
                if int(status) >= 400:
                    assert answer["content"]["application/json"]["schema"] == ERROR, (path, status)


async def test_operations_have_names_of_their_own_and_declare_their_path_members(document: dict[str, Any]) -> None:
    operations = [(path, operation) for path, item in document["paths"].items() for operation in item.values()]

    assert len({operation["operationId"] for _, operation in operations}) == len(operations)
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
    named = document["paths"]["/api/v1/jobs/{job_id}"]["put"]
    assert named["requestBody"] == operation["requestBody"]
    assert {member["name"] for member in named["parameters"] if member["in"] == "header"} == {
        member["name"] for member in operation["parameters"]
    }


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
        assert names == {"status", "type", "queue", "batchId", "label", "createdAfter", "createdBefore"}


async def test_the_queries_of_the_list_are_documented(document: dict[str, Any]) -> None:
    names = {member["name"] for member in document["paths"]["/api/v1/jobs"]["get"]["parameters"]}

    assert names == {
        *("status", "type", "queue", "batchId", "label", "createdAfter", "createdBefore", "limit", "cursor")
    }
    wait = document["paths"]["/api/v1/jobs/{job_id}"]["get"]["parameters"]
    assert {"wait"} <= {member["name"] for member in wait}


async def test_the_key_is_documented(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert {"key": []} in document["security"]


async def test_the_page_for_people_loads(contract: Service) -> None:
    answer = await contract.client.get("/docs")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "/openapi.json" in answer.text
