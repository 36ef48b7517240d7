"""`/api/v1/webhooks`: registered endpoints."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from duly.api.webhooks import endpoint_models
from duly.api.webhooks.endpoint_models import DisclosedWebhookBody, SentTestBody, WebhookBody, WebhookEvent, WebhookPage
from duly.domain.ids import event_id, new_job_id
from duly.domain.webhook_events import ENDPOINT_BITS
from duly.domain.webhook_key_pair import check_public_key, public_keys_of_jwks
from duly.webhooks import endpoints
from tests.support.database_dump import dump, shows
from tests.support.response_checks import TIME, invalid_paths, refused
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
PATH = "/api/v1/webhooks"
URL = "https://client.example.com/hook"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DEFAULTS = {
    "url": URL,
    "events": ["job.completed"],
    "types": [],
    "labels": {},
    "description": None,
    "headerNames": [],
    "signatures": ["v1"],
    "publicKeys": [],
    "jwksUrl": None,
    "status": "enabled",
    "paused": False,
    "disabledAt": None,
    "disabledReason": None,
    "limits": {"concurrency": None, "rate": None},
    "circuit": {"state": "closed", "failures": 0, "failingSince": None, "nextProbeAt": None, "lastError": None},
    "previousSecretUntil": None,
}


async def post(service: Service, **members: Any) -> Any:
    return await service.client.post(PATH, json={"url": URL, "events": ["job.completed"], **members})


async def made(service: Service, **members: Any) -> dict[str, Any]:
    response = await post(service, **members)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def read(service: Service, webhook_id: str) -> dict[str, Any]:
    response = await service.client.get(f"{PATH}/{webhook_id}")
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.json()
    return body


async def patched(service: Service, webhook_id: str, **members: Any) -> dict[str, Any]:
    response = await service.client.patch(f"{PATH}/{webhook_id}", json=members)
    assert response.status_code == 200, response.text
    WebhookBody.model_validate_json(response.content, strict=True)
    body: dict[str, Any] = response.json()
    assert body == await read(service, webhook_id)
    return body


# Registering one


async def test_an_endpoint_is_made_with_its_defaults_and_shown(contract: Service) -> None:
    response = await post(contract)
    assert response.status_code == 201
    DisclosedWebhookBody.model_validate_json(response.content, strict=True)
    body = response.json()
    assert response.headers["Location"] == f"{PATH}/{body['webhookId']}"
    assert response.headers["Cache-Control"] == "no-store"
    secret = body.pop("secret")
    assert secret.startswith("whsec_")
    assert len(b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    times = {name: body[name] for name in ("createdAt", "updatedAt")}
    assert times["createdAt"] == times["updatedAt"]
    assert TIME.fullmatch(times["createdAt"])
    assert body == DEFAULTS | times | {"webhookId": body["webhookId"]}
    assert await read(contract, body["webhookId"]) == body


async def test_every_member_is_kept(contract: Service) -> None:
    members: dict[str, Any] = {
        "url": "https://client.example.com:8443/hook?customer=ü",
        "events": ["job.failed", "batch.completed"],
        "types": ["echo", "not-known-yet", "echo"],
        "labels": {"customer": "c-42", "ü": ""},
        "description": "the one of Zoë",
        "paused": True,
        "limits": {"concurrency": 3, "rate": {"count": 10, "seconds": 0.5}},
        "signatures": ["v1a", "v1"],
    }
    body = await made(contract, **members, headers={"X-Key": "k", "Authorization": "Bearer t"})
    expected = members | {"types": ["echo", "not-known-yet"], "signatures": ["v1", "v1a"]}
    assert {name: body[name] for name in members} == expected
    assert sorted(body["headerNames"]) == ["Authorization", "X-Key"]
    assert body["status"] == "paused"
    check_public_key(*body["publicKeys"])
    assert body["jwksUrl"] == f"{PATH}/{body['webhookId']}/jwks.json"


async def test_a_given_secret_is_taken_and_shown_this_once(contract: Service) -> None:
    for secret in (SECRET, "a plain one"):
        body = await made(contract, secret=secret)
        assert body["secret"] == secret
        assert "secret" not in await read(contract, body["webhookId"])


async def test_a_star_is_everything_and_under_a_filter_all_but_batches(contract: Service) -> None:
    async def stored(body: dict[str, Any]) -> set[str]:
        rows = await contract.sql("select events from endpoints where endpoint_id = $1", UUID(body["webhookId"]))
        return {name for name, bit in ENDPOINT_BITS.items() if rows[0][0] & bit}

    everything, jobs = set(ENDPOINT_BITS), set(ENDPOINT_BITS) - {"batch.completed"}
    for members, events, shown in (
        ({"events": ["*"]}, everything, ["*"]),
        ({"events": ["*"], "types": ["echo"]}, jobs, ["*"]),
        ({"events": ["*"], "labels": {"a": "b"}}, jobs, ["*"]),
        ({"events": ["*", "batch.completed"], "types": ["echo"]}, everything, ["*", "batch.completed"]),
        ({"events": ["job.failed", "webhook.test", "endpoint.disabled"]}, {"job.failed"}, ["job.failed"]),
        ({"events": ["webhook.test"]}, set(), ["webhook.test", "endpoint.disabled"]),
    ):
        body = await made(contract, **members)
        assert (await stored(body), body["events"]) == (events, shown), members

    # With its filter goes, and comes, what the star leaves out.
    body = await made(contract, events=["*"])
    assert (await patched(contract, body["webhookId"], types=["echo"]))["events"] == ["*"]
    assert await stored(body) == jobs
    assert (await patched(contract, body["webhookId"], types=[]))["events"] == ["*"]
    assert await stored(body) == everything


@pytest.mark.parametrize(
    ("members", "path", "says"),
    [
        ({"url": "http://10.0.0.1/"}, "url", "private"),
        ({"url": "http://0x7f000001:22/hook"}, None, ""),  # allowed for the tests, in any spelling
        ({"url": "http://169.254.169.254/latest"}, "url", "metadata"),
        ({"url": "ftp://client.example.com"}, "url", "http"),
        ({"url": "https://user:pass@client.example.com"}, "url", "password"),
        ({"url": "https://client.example.com/" + "x" * 3000}, "url", "2048"),
        ({"url": 5}, "url", "string"),
        ({"events": []}, "events", "at least 1"),
        ({"events": ["job.done"]}, "events[0]", "must be * or one of job.started, job.progress"),
        ({"events": "*"}, "events", "array"),
        ({"types": ["a b"]}, "types[0]", "match"),
        ({"types": None}, "types", "array"),
        ({"labels": {"a": 1}}, "labels.a", "string"),
        ({"labels": {"a": "\0"}}, "labels.a", "U+0000"),
        ({"description": "x" * 501}, "description", "500"),
        ({"headers": {"Host": "a"}}, "headers.Host", "reserved for the service"),
        ({"headers": {"x-a": "a\r\nhost: b"}}, "headers.x-a", "line break"),
        ({"headers": {"a b": "x"}}, "headers.a b", "not a valid header name"),
        ({"headers": {"x-a": 1}}, "headers.x-a", "string"),
        ({"headers": {f"x-{n}": "" for n in range(21)}}, "headers", "more than 20"),
        ({"signatures": []}, "signatures", "must be"),
        ({"signatures": ["v1a"]}, "signatures", "must be"),
        ({"signatures": ["v1", "v1"]}, "signatures", "must be"),
        ({"signatures": ["v2"]}, "signatures[0]", "'v1' or 'v1a'"),
        ({"paused": "no"}, "paused", "boolean"),
        ({"limits": {"concurrency": 0}}, "limits.concurrency", "greater than or equal to 1"),
        ({"limits": {"rate": {"count": 1}}}, "limits.rate.seconds", "required"),
        ({"limits": None}, "limits", "object"),
        ({"event": ["*"]}, "event", r"did you mean \"events\"?"),
        ({"disabledAt": None}, "disabledAt", "unknown field"),
    ],
)
async def test_what_does_not_fit_is_refused_by_its_place(
    contract: Service, members: dict[str, Any], path: str | None, says: str
) -> None:
    standing = await made(contract)
    for response in (
        await post(contract, **members),
        await contract.client.patch(f"{PATH}/{standing['webhookId']}", json=members),
    ):
        if path is None:
            assert response.status_code in {200, 201}
            continue
        assert invalid_paths(response) == [path]
        assert says in response.text
    if path is not None:
        assert await read(contract, standing["webhookId"]) == {
            name: value for name, value in standing.items() if name != "secret"
        }


@pytest.mark.parametrize(
    "secret",
    [
        *("whsec_no base64", "whsec_", "", "whsk_" + "A" * 43, "whpk_" + "A" * 43, "x" * 513),
        *("whsec_" + "A" * 42, "v1,whsec_" + "A" * 32, "WHSEC_" + "A" * 32, "a secret of lines\n"),
    ],
)
async def test_a_secret_that_can_sign_nothing_is_refused_and_not_repeated(contract: Service, secret: str) -> None:
    standing = await made(contract)
    for response in (
        await post(contract, secret=secret),
        await contract.client.post(f"{PATH}/{standing['webhookId']}/rotate-secret", json={"secret": secret}),
    ):
        assert invalid_paths(response) == ["secret"]
        assert not secret or secret not in response.text


async def test_several_faults_are_told_at_once(contract: Service) -> None:
    response = await post(contract, url="ftp://a", events=["x", "job.failed", "y"], headers={"te": "", "x-b": "\n"})
    assert invalid_paths(response) == ["url", "events[0]", "events[2]", "headers.te", "headers.x-b"]


async def test_what_is_required_is_asked_for(contract: Service) -> None:
    assert invalid_paths(await contract.client.post(PATH, json={})) == ["url", "events"]
    refused(
        await contract.client.post(PATH, content="{", headers={"Content-Type": "application/json"}), 400, "INVALID_JSON"
    )
    refused(await contract.client.post(PATH, content="{}"), 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_tenant_has_a_thousand_at_most(start_service: StartService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_ENDPOINTS", 3)
    service = await start_service()
    responses = await asyncio.gather(*(post(service) for _ in range(12)))
    ids = [response.json()["webhookId"] for response in responses if response.status_code == 201]
    assert len(ids) == 3
    error = refused(await post(service), 409, "ENDPOINT_LIMIT_REACHED")
    assert error["message"] == "Webhook limit reached (3)."
    assert (await service.client.delete(f"{PATH}/{ids[0]}")).status_code == 204
    await made(service)


# Reading and listing


async def test_what_names_no_endpoint_is_not_found_and_the_answers_do_not_differ(contract: Service) -> None:
    foreign = (await made(contract))["webhookId"]
    await contract.sql_in_all("update endpoints set tenant_id = 7 where endpoint_id = $1", UUID(foreign))
    await contract.sql_in_all("update receivers set tenant_id = 7 where receiver_id = $1", UUID(foreign))
    calls: tuple[tuple[str, str, Any], ...] = (
        ("GET", "", None),
        ("PATCH", "", {"paused": True}),
        ("DELETE", "", None),
        ("POST", "/test", None),
        ("POST", "/rotate-secret", None),
        ("GET", "/jwks.json", None),
    )
    for method, under, body in calls:
        responses = [
            await contract.client.request(method, f"{PATH}/{webhook_id}{under}", json=body)
            for webhook_id in (foreign, str(new_job_id()), str(uuid4()), "no-id", foreign.replace("-", ""))
        ]
        assert len({json.dumps(refused(response, 404, "NOT_FOUND")) for response in responses}) == 1, method + under
    assert foreign not in (await contract.client.get(PATH, params={"limit": 200})).text


async def test_lists_are_newest_first_in_pages_and_filtered(start_service: StartService) -> None:
    service = await start_service()
    kinds: list[dict[str, Any]] = [
        {"events": ["job.failed"]},
        {"events": ["job.completed", "job.cancelled"], "paused": True},
        {"events": ["*"]},
    ]
    ids = [(await made(service, **kinds[place % 3]))["webhookId"] for place in range(7)]
    await patched(service, ids[3], disabled=True)

    async def listed(**requested: Any) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while cursor is not None or not found:
            response = await service.client.get(PATH, params={**requested, **({"cursor": cursor} if cursor else {})})
            page = response.json()
            WebhookPage.model_validate_json(response.content, strict=True)
            assert response.headers["Cache-Control"] == "no-store"
            assert len(page["items"]) <= requested.get("limit", 50)
            found += [item["webhookId"] for item in page["items"]]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        return found

    newest_first = ids[::-1]
    assert await listed() == await listed(limit=3) == await listed(limit=7) == await listed(limit=1) == newest_first
    assert await listed(status="paused") == [ids[4], ids[1]]
    assert await listed(status="disabled") == [ids[3]]
    assert await listed(status=["paused", "disabled"], limit=2) == [ids[4], ids[3], ids[1]]
    assert await listed(status="enabled", event="job.failed") == [ids[6], ids[5], ids[2], ids[0]]
    assert await listed(event=["job.cancelled"]) == [ids[5], ids[4], ids[2], ids[1]]
    assert await listed(event="batch.completed", limit=1) == [ids[5], ids[2]]
    for query, path in (
        ("status=gone", "status[0]"),
        ("event=*", "event[0]"),
        ("limit=0", "limit"),
        ("cursor=abc", "cursor"),
        ("state=paused", "state"),
    ):
        assert invalid_paths(await service.client.get(f"{PATH}?{query}")) == [path]


async def test_the_filter_by_event_knows_every_event() -> None:
    assert set(WebhookEvent.__value__.__args__) == set(ENDPOINT_BITS)  # what its Literal holds


# Changing one


async def test_what_is_left_out_stays_and_what_is_named_is_replaced(contract: Service) -> None:
    body = await made(
        contract,
        types=["echo"],
        labels={"a": "1"},
        description="first",
        headers={"X-A": "1"},
        limits={"concurrency": 2, "rate": {"count": 5, "seconds": 1}},
        signatures=["v1", "v1a"],
    )
    webhook_id, standing = body["webhookId"], {name: value for name, value in body.items() if name != "secret"}
    assert await patched(contract, webhook_id) | {"updatedAt": ""} == standing | {"updatedAt": ""}
    for change, shown in (
        ({"url": "https://other.example.com/"}, {"url": "https://other.example.com/"}),
        ({"events": ["job.started"]}, {"events": ["job.started"]}),
        ({"types": ["fail"]}, {"types": ["fail"]}),
        ({"types": []}, {"types": []}),
        ({"labels": {"b": "2"}}, {"labels": {"b": "2"}}),
        ({"labels": {}}, {"labels": {}}),
        ({"description": "second"}, {"description": "second"}),
        ({"description": None}, {"description": None}),
        ({"headers": {"X-B": "2", "X-C": "3"}}, {"headerNames": ["X-B", "X-C"]}),
        ({"headers": {}}, {"headerNames": []}),
        ({"limits": {"rate": None}}, {"limits": {"concurrency": None, "rate": None}}),
        ({"paused": True}, {"paused": True, "status": "paused"}),
        ({"paused": False}, {"paused": False, "status": "enabled"}),
        ({"signatures": ["v1"]}, {"signatures": ["v1"], "publicKeys": [], "jwksUrl": None}),
    ):
        changed = await patched(contract, webhook_id, **change)
        standing = standing | shown | {"updatedAt": changed["updatedAt"]}
        assert changed == standing, change


@pytest.mark.parametrize("member", ["url", "events", "types", "labels", "headers", "signatures", "paused", "disabled"])
async def test_null_is_no_way_to_leave_a_member_as_it_was(contract: Service, member: str) -> None:
    webhook_id = (await made(contract))["webhookId"]
    response = await contract.client.patch(f"{PATH}/{webhook_id}", json={member: None})
    assert invalid_paths(response) == [member]


async def test_the_secret_is_changed_by_rotating_alone(contract: Service) -> None:
    webhook_id = (await made(contract))["webhookId"]
    response = await contract.client.patch(f"{PATH}/{webhook_id}", json={"secret": SECRET})
    assert invalid_paths(response) == ["secret"]


async def test_disabling_and_enabling(contract: Service) -> None:
    webhook_id = (await made(contract))["webhookId"]
    disabled = await patched(contract, webhook_id, disabled=True)
    assert (disabled["status"], disabled["disabledReason"]) == ("disabled", "REQUESTED: disabled over the API")
    assert TIME.fullmatch(disabled["disabledAt"])
    again = await patched(contract, webhook_id, disabled=True, paused=True)
    assert (again["status"], again["paused"], again["disabledAt"]) == ("disabled", True, disabled["disabledAt"])
    refused(await contract.client.post(f"{PATH}/{webhook_id}/test"), 409, "ENDPOINT_DISABLED")
    enabled = await patched(contract, webhook_id, disabled=False)
    assert (enabled["status"], enabled["disabledAt"], enabled["disabledReason"]) == ("paused", None, None)


FAIL = """
update receivers set failures = 9, failing_since = now() - interval '1 hour', state = 1, opened_at = now(),
    probe_at = now() + interval '1 hour', last_error = 'the receiver answered 500'
where receiver_id = $1
"""


async def test_the_circuit_is_shown_and_begins_anew_with_another_address_or_when_enabled(contract: Service) -> None:
    webhook_id = (await made(contract))["webhookId"]
    await contract.sql(FAIL, UUID(webhook_id))
    circuit = (await read(contract, webhook_id))["circuit"]
    assert circuit | {"failingSince": "", "nextProbeAt": ""} == {
        "state": "open",
        "failures": 9,
        "failingSince": "",
        "nextProbeAt": "",
        "lastError": "the receiver answered 500",
    }
    assert circuit["failingSince"] < datetime.now(UTC).isoformat() < circuit["nextProbeAt"]
    same = await patched(contract, webhook_id, url=URL, paused=True, disabled=False)
    assert same["circuit"] == circuit
    assert (await patched(contract, webhook_id, url=URL + "/other"))["circuit"] == DEFAULTS["circuit"]

    await patched(contract, webhook_id, disabled=True)
    await contract.sql(FAIL, UUID(webhook_id))
    assert (await patched(contract, webhook_id, disabled=False))["circuit"] == DEFAULTS["circuit"]


async def test_the_same_rate_set_again_gives_nothing_away(contract: Service) -> None:
    limits = {"rate": {"count": 10, "seconds": 3600}}
    webhook_id = (await made(contract, limits=limits))["webhookId"]

    async def tokens() -> float:
        rows = await contract.sql("select tokens from receivers where receiver_id = $1", UUID(webhook_id))
        left: float = rows[0][0]
        return left

    assert await tokens() == 10
    await contract.sql("update receivers set tokens = 2, refilled_at = now() where receiver_id = $1", UUID(webhook_id))
    await patched(contract, webhook_id, limits=limits)
    assert 2 <= await tokens() < 3
    await patched(contract, webhook_id, limits={"rate": {"count": 1, "seconds": 3600}})
    assert await tokens() == 1
    await patched(contract, webhook_id, limits={"rate": {"count": 100, "seconds": 3600}})
    assert 1 <= await tokens() < 2
    await patched(contract, webhook_id, limits={})
    await patched(contract, webhook_id, limits=limits)
    assert await tokens() == 10


async def test_a_deleted_one_is_gone_with_all_that_is_known_of_its_receiver(contract: Service) -> None:
    webhook_id = (await made(contract))["webhookId"]
    response = await contract.client.delete(f"{PATH}/{webhook_id}")
    assert (response.status_code, response.content) == (204, b"")
    refused(await contract.client.get(f"{PATH}/{webhook_id}"), 404, "NOT_FOUND")
    refused(await contract.client.delete(f"{PATH}/{webhook_id}"), 404, "NOT_FOUND")
    assert await contract.sql_in_all("select from endpoints where endpoint_id = $1", UUID(webhook_id)) == []
    assert await contract.sql_in_all("select from receivers where receiver_id = $1", UUID(webhook_id)) == []


async def test_a_test_is_queued_with_the_id_it_will_have(contract: Service) -> None:
    webhook_id = (await made(contract, paused=True))["webhookId"]
    response = await contract.client.post(f"{PATH}/{webhook_id}/test")
    assert response.status_code == 202
    SentTestBody.model_validate_json(response.content, strict=True)
    sent = response.json()
    [row] = await contract.sql("select * from deliveries where delivery_id = $1", UUID(sent["deliveryId"]))
    assert (str(row["receiver_id"]), row["registered"]) == (webhook_id, True)
    assert sent["eventId"] == str(event_id(row["job_id"], 0))
    assert (await contract.client.delete(f"{PATH}/{webhook_id}")).status_code == 204


# Secrets and keys


async def rotated(service: Service, webhook_id: str, **sent: Any) -> dict[str, Any]:
    response = await service.client.post(f"{PATH}/{webhook_id}/rotate-secret", **sent)
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    DisclosedWebhookBody.model_validate_json(response.content, strict=True)
    body: dict[str, Any] = response.json()
    return body


async def test_a_rotation_makes_new_keys_and_names_the_end_of_the_old_ones(contract: Service) -> None:
    first = await made(contract, signatures=["v1", "v1a"])
    second = await rotated(contract, first["webhookId"])
    assert second["secret"].startswith("whsec_")
    assert second["secret"] != first["secret"]
    until = datetime.fromisoformat(second["previousSecretUntil"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < until <= timedelta(hours=24)
    assert second["publicKeys"][1:] == first["publicKeys"]
    assert second["publicKeys"][0] != first["publicKeys"][0]

    third = await rotated(contract, first["webhookId"], json={"secret": SECRET})  # the oldest is dropped
    assert third["secret"] == SECRET
    assert third["publicKeys"][1:] == second["publicKeys"][:1]
    ends = "update endpoints set previous_until = now() where endpoint_id = $1"
    await contract.sql_in_all(ends, UUID(first["webhookId"]))
    over = await read(contract, first["webhookId"])
    assert (over["publicKeys"], over["previousSecretUntil"]) == (third["publicKeys"][:1], None)


async def test_a_rotation_that_is_repeated_because_its_answer_was_lost_drops_no_key(contract: Service) -> None:
    first = await made(contract, signatures=["v1", "v1a"])
    once = await rotated(contract, first["webhookId"], json={"secret": SECRET})
    again = await rotated(contract, first["webhookId"], json={"secret": SECRET})
    assert again == once


async def test_a_rotation_takes_null_for_make_one_and_no_other_members(contract: Service) -> None:
    webhook_id = (await made(contract))["webhookId"]
    assert (await rotated(contract, webhook_id, json={"secret": None}))["secret"].startswith("whsec_")
    path = f"{PATH}/{webhook_id}/rotate-secret"
    assert invalid_paths(await contract.client.post(path, json={"secrets": "a"})) == ["secrets"]
    assert invalid_paths(await contract.client.post(path, json=None, params={"secret": "a"})) == ["secret"]
    refused(await contract.client.post(path, content="{}"), 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_key_pairs_come_and_go_with_v1a(contract: Service) -> None:
    first = await made(contract)
    path = f"{PATH}/{first['webhookId']}/jwks.json"
    refused(await contract.client.get(path), 404, "NOT_FOUND")
    with_pair = await patched(contract, first["webhookId"], signatures=["v1", "v1a"])
    assert with_pair["jwksUrl"] == path
    kept = await patched(contract, first["webhookId"], signatures=["v1a", "v1"])
    assert kept["publicKeys"] == with_pair["publicKeys"]
    both = (await rotated(contract, first["webhookId"]))["publicKeys"]
    response = await contract.client.get(path)
    assert response.headers["Cache-Control"] == "public, max-age=300"
    endpoint_models.JwksBody.model_validate_json(response.content, strict=True)
    assert public_keys_of_jwks(response.json()) == both
    await patched(contract, first["webhookId"], signatures=["v1"])
    refused(await contract.client.get(path), 404, "NOT_FOUND")
    assert (await patched(contract, first["webhookId"], signatures=["v1", "v1a"]))["publicKeys"][0] not in both


async def test_public_keys_need_no_api_key_and_nothing_else_is_open(start_service: StartService) -> None:
    service = await start_service(api_key="sk-a-long-and-secret-key")
    key = {"Authorization": "Bearer sk-a-long-and-secret-key"}
    body = {"url": URL, "events": ["*"], "signatures": ["v1", "v1a"]}
    made_one = (await service.client.post(PATH, json=body, headers=key)).json()
    path = f"{PATH}/{made_one['webhookId']}"
    keys = (await service.client.get(f"{path}/jwks.json")).json()
    assert public_keys_of_jwks(keys) == made_one["publicKeys"]
    refused(await service.client.get(f"{PATH}/{new_job_id()}/jwks.json"), 404, "NOT_FOUND")
    for method, closed in (
        ("GET", PATH),
        ("GET", path),
        ("POST", f"{path}/jwks.json"),
        ("HEAD", path),
        ("GET", f"{path}/jwks.json/"),
        ("GET", f"{path}/x/jwks.json"),
        ("GET", f"{PATH}/jwks.json"),
        ("GET", f"{path}/jwks.json%0A"),
        ("POST", f"{path}/rotate-secret"),
    ):
        response = await service.client.request(method, closed)
        assert response.status_code == 401, (method, closed)


async def test_secrets_keys_and_headers_are_nowhere_but_in_the_one_answer(
    start_service: StartService, capfd: pytest.CaptureFixture[str]
) -> None:
    service = await start_service()
    value, given = "AHeaderValue-9d27c1", "AGivenSecret-51d0ab"
    first = await made(service, headers={"X-Key": value}, signatures=["v1", "v1a"])
    webhook_id = first["webhookId"]
    second = await rotated(service, webhook_id, json={"secret": given})
    hidden = (first["secret"], value, given)
    responses = [
        await service.client.get(PATH),
        await service.client.get(f"{PATH}/{webhook_id}"),
        await service.client.patch(f"{PATH}/{webhook_id}", json={"paused": True}),
        await service.client.patch(f"{PATH}/{webhook_id}", json={"headers": {"X-Key": value + "\n"}}),
        await service.client.post(f"{PATH}/{webhook_id}/rotate-secret", json={"secret": given, "x": 1}),
        await service.client.post(PATH, json={"url": URL, "events": ["*"], "secret": "whsec_" + given}),
        await service.client.get(f"{PATH}/{webhook_id}/jwks.json"),
    ]
    told = "".join(response.text + str(response.headers) for response in responses)
    assert second["secret"] == given
    dumped = await dump(service.database_url)
    written = service.written(capfd)
    for text in hidden:
        assert text not in told + written
        assert not [table for table, rows in dumped.items() if shows(rows, text)]
    assert "whsk_" not in told + written + "".join(dumped.values())


async def test_what_was_sealed_with_a_key_that_is_lost_is_told_of_and_rotated_away(
    contract: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_id = (await made(contract, headers={"X-Key": "k"}, signatures=["v1", "v1a"]))["webhookId"]
    lost = "sealed:lost:" + "A" * 60
    await contract.sql_in_all(
        "update endpoints set secret = $2, signing_key = $2, headers = $2 where endpoint_id = $1",
        UUID(webhook_id),
        lost,
    )
    shown = await read(contract, webhook_id)
    assert (shown["headerNames"], shown["publicKeys"], shown["signatures"]) == (None, [], ["v1", "v1a"])
    mended = await rotated(contract, webhook_id)
    assert (len(mended["publicKeys"]), mended["previousSecretUntil"]) == (1, None)
    assert (await patched(contract, webhook_id, headers={}))["headerNames"] == []
