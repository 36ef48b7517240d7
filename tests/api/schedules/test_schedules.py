"""`/api/v1/schedules`: submissions that recur."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from duly.api.contract.response_models import AcceptedBody
from duly.api.schedules.models import ScheduleBody, SchedulePage
from tests.support.response_checks import TIME, invalid_paths, refused
from tests.support.service import Service

PATH = "/api/v1/schedules"
# Of four cells in that of the schedules that would depend on it, "unfitting" and "unchanged".
NO_JOB = "0199c1f0-0000-7000-8000-000000000001"
NEW_YEAR = "0 0 1 1 *"
ECHO: dict[str, Any] = {"type": "echo"}


async def post(service: Service, name: str, cron: str = NEW_YEAR, **members: Any) -> Any:
    return await service.client.post(PATH, json={"name": name, "cron": cron, "submission": ECHO, **members})


async def made(service: Service, name: str, cron: str = NEW_YEAR, **members: Any) -> dict[str, Any]:
    response = await post(service, name, cron, **members)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def patched(service: Service, name: str, **members: Any) -> dict[str, Any]:
    response = await service.client.patch(f"{PATH}/{name}", json=members)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


# Making one


async def test_a_schedule_is_made_with_its_defaults_and_shown(contract: Service) -> None:
    response = await post(contract, "made", "30 6 * * MON-FRI")
    assert response.status_code == 201
    assert response.headers["Location"] == f"{PATH}/made"
    ScheduleBody.model_validate_json(response.content, strict=True)
    body = response.json()
    times = {name: body.pop(name) for name in ("nextRunAt", "createdAt", "updatedAt")}
    assert body == {
        "name": "made",
        "cron": "30 6 * * MON-FRI",
        "timezone": "UTC",
        "submission": ECHO,
        "overlap": "allow",
        "catchUp": "none",
        "paused": False,
        "declaredBy": "client",
        "workers": None,
        "lastRunAt": None,
        "lastJob": None,
        "lastError": None,
    }
    assert all(TIME.fullmatch(moment) for moment in times.values())
    assert times["createdAt"] == times["updatedAt"]
    due = datetime.fromisoformat(times["nextRunAt"])
    assert (due.hour, due.minute, due.weekday() < 5) == (6, 30, True)
    assert datetime.now(UTC) < due < datetime.now(UTC) + timedelta(days=4)
    assert (await contract.client.get(f"{PATH}/made")).json() == {**body, **times}


async def test_every_member_is_kept(contract: Service) -> None:
    members: dict[str, Any] = {
        "cron": "0 15 10 ? * FRI",
        "timezone": "Asia/Tokyo",
        "submission": {
            "type": "echo",
            "parameters": {"n": 12345678901234567890123, "text": "ü"},
            "queue": "night",
            "priority": -5,
            "delaySeconds": 60,
            "timeoutSeconds": 30,
            "maxAttempts": 2,
            "labels": {"customer": "c-42"},
            "callbackUrl": "https://example.com/hook",
            "callbackEvents": ["job.failed"],
        },
        "overlap": "skip",
        "catchUp": "last",
        "paused": False,
    }
    body = await made(contract, "every", **members)
    assert {name: body[name] for name in members} == members
    due = datetime.fromisoformat(body["nextRunAt"])
    assert (due.hour, due.minute, due.weekday()) == (1, 15, 4)


async def test_a_name_is_taken_once(contract: Service) -> None:
    first = await made(contract, "twice")
    refused(await post(contract, "twice", "* * * * *"), 409, "SCHEDULE_EXISTS")
    assert (await contract.client.get(f"{PATH}/twice")).json() == first


async def test_a_paused_one_is_not_due(contract: Service) -> None:
    assert (await made(contract, "made-paused", paused=True))["nextRunAt"] is None


async def test_a_callback_secret_is_kept_and_never_shown(contract: Service) -> None:
    secret = {**ECHO, "callbackUrl": "https://example.com", "callbackSecret": "very secret", "delaySeconds": 3600}
    body = await made(contract, "secret", submission=secret)
    assert "callbackSecret" not in body["submission"]
    assert "very secret" not in (await contract.client.get(f"{PATH}/secret")).text
    response = await contract.client.post(f"{PATH}/secret/run")
    rows = await contract.sql("select callback_secret from jobs where job_id = $1", UUID(response.json()["jobId"]))
    assert contract.node.keyring.unseal(rows[0][0], tenant_id=1, purpose="callback") == "very secret"


# Creating or replacing one


async def put(service: Service, name: str, cron: str = NEW_YEAR, **members: Any) -> Any:
    return await service.client.put(f"{PATH}/{name}", json={"cron": cron, "submission": ECHO, **members})


async def test_put_creates_a_schedule_and_then_replaces_it(contract: Service) -> None:
    created = await put(contract, "put", "0 3 * * *", overlap="skip", timezone="Asia/Tokyo")
    assert (created.status_code, created.headers["Location"]) == (201, f"{PATH}/put")
    ScheduleBody.model_validate_json(created.content, strict=True)
    replaced = await put(contract, "put", "0 4 * * *")
    assert (replaced.status_code, "Location" in replaced.headers) == (200, False)
    body = replaced.json()
    assert (body["cron"], body["overlap"], body["timezone"]) == ("0 4 * * *", "allow", "UTC")
    assert (datetime.fromisoformat(body["nextRunAt"]).hour, body["createdAt"]) == (4, created.json()["createdAt"])
    assert (await contract.client.get(f"{PATH}/put")).json() == body


async def test_the_same_put_again_changes_nothing(contract: Service) -> None:
    members: dict[str, Any] = {"submission": {**ECHO, "parameters": {"n": 1}, "callbackUrl": "https://example.com"}}
    members["submission"]["callbackSecret"] = "very secret"
    first = await put(contract, "put-again", **members)
    await contract.sql("update schedules set last_error = '{}' where name = 'put-again'")
    count = "select count(*) from audit where subject = 'put-again'"
    second = await put(contract, "put-again", **members)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json() | {"lastError": {}}
    assert await contract.total(count) == 1
    members["submission"]["callbackSecret"] = "another secret"
    assert (await put(contract, "put-again", **members)).json()["lastError"] is None
    assert await contract.total(count) == 2


async def test_put_keeps_the_last_run_and_a_pause_that_it_does_not_name(contract: Service) -> None:
    await put(contract, "put-paused", "0 3 * * *", paused=True)
    run = await contract.client.post(f"{PATH}/put-paused/run")
    body = (await put(contract, "put-paused", "0 4 * * *")).json()
    assert (body["paused"], body["nextRunAt"]) == (True, None)
    assert body["lastJob"]["jobId"] == run.json()["jobId"]
    resumed = (await put(contract, "put-paused", "0 4 * * *", paused=False)).json()
    assert (resumed["paused"], resumed["lastJob"]) == (False, body["lastJob"])
    assert resumed["nextRunAt"] is not None


async def test_an_invalid_put_changes_nothing(contract: Service) -> None:
    before = (await put(contract, "put-invalid")).json()
    for members, path in (
        ({"cron": "61 * * * *"}, "cron"),
        ({"submission": {"type": "sleep", "parameters": {"seconds": "x"}}}, "submission.parameters.seconds"),
        ({"extra": "other"}, "extra"),
    ):
        assert invalid_paths(await put(contract, "put-invalid", **members)) == [path]
    assert invalid_paths(await put(contract, "put invalid")) == ["name"]
    assert (await contract.client.get(f"{PATH}/put-invalid")).json() == before


async def test_requests_at_once_create_one_schedule(contract: Service) -> None:
    responses = await asyncio.gather(*(put(contract, "put-at-once", paused=bool(n % 2)) for n in range(8)))
    assert sorted(response.status_code for response in responses) == [200] * 7 + [201]


@pytest.mark.parametrize(
    ("members", "path", "says"),
    [
        ({"cron": "61 * * * *"}, "cron", 'has "61" for its minute'),
        ({"cron": "* * *"}, "cron", "has 3 fields"),
        ({"cron": "0 0 31 2 *"}, "cron", "is never due"),
        ({"cron": "*/90 * * * *"}, "cron", 'has "*/90" for its minute; a step there is between 1 and 59'),
        ({"cron": "0 0 L/2 * *"}, "cron", '"L" takes no step'),
        ({"cron": "* * */20 * 1L"}, "cron", "is never due"),
        ({"cron": "* * */20 * 1L", "paused": True}, "cron", "is never due"),
        ({"cron": 5}, "cron", "valid string"),
        ({"cron": "*" * 201}, "cron", "at most 200"),
        ({"timezone": "Europe/Berlim"}, "timezone", "did you mean Europe/Berlin?"),
        ({"timezone": "localtime"}, "timezone", "is not an IANA"),
        ({"overlap": "maybe"}, "overlap", "'allow' or 'skip'"),
        ({"catchUp": "some"}, "catchUp", "'none', 'last' or 'all'"),
        ({"paused": "no"}, "paused", "valid boolean"),
        ({"catchup": "all"}, "catchup", 'unknown field; did you mean "catchUp"?'),
        ({"name": "a/b"}, "name", "should match"),
        ({"name": ""}, "name", "should match"),
        ({"name": "x" * 129}, "name", "should match"),
        ({"submission": {}}, "submission.type", "required"),
        ({"submission": {"type": "echo", "priorty": 1}}, "submission.priorty", 'did you mean "priority"?'),
        ({"submission": {"type": "echo", "priority": 101}}, "submission.priority", "less than or equal to 100"),
        ({"submission": {"type": "echo", "runAt": "2027-01-01T00:00:00Z"}}, "submission.runAt", "set by the schedule"),
        ({"submission": {"type": "echo", "callbackUrl": "ftp://a"}}, "submission.callbackUrl", "http"),
        ({"submission": {"type": "echo", "callbackSecret": "s"}}, "submission.callbackSecret", "requires callbackUrl"),
        ({"submission": {"type": "sleep", "parameters": {"seconds": "x"}}}, "submission.parameters.seconds", "number"),
        ({"submission": {"type": "echo", "parameters": {"a": "\0"}}}, "submission.parameters.a", "U+0000"),
        ({"submission": {"type": "echo", "dependsOn": [NO_JOB]}}, "submission.dependsOn[0]", "no job has the id"),
    ],
)
async def test_what_does_not_fit_is_refused_by_its_place(
    contract: Service, members: dict[str, Any], path: str, says: str
) -> None:
    for response in (
        await post(contract, **{"name": "unfitting", **members}),
        await contract.client.patch(f"{PATH}/{(await unfit(contract))['name']}", json=members),
    ):
        if response.request.method == "PATCH" and "name" in members:
            assert invalid_paths(response) == ["name"]
            continue
        error = refused(response, 422, "VALIDATION_FAILED")
        assert [each["path"] for each in error["details"]["errors"]] == [path]
        message = error["details"]["errors"][0]["message"]
        assert says.replace("a schedule;", f"a {kind(response)};") in message
    refused(await contract.client.get(f"{PATH}/unfit"), 404, "NOT_FOUND")


def kind(response: Any) -> str:
    return "schedule" if response.request.method == "POST" else "schedule change"


async def unfit(service: Service) -> dict[str, Any]:
    """Returns a schedule for changes that are refused."""
    response = await service.client.get(f"{PATH}/unchanged")
    if response.status_code == 200:
        body: dict[str, Any] = response.json()
        return body
    return await made(service, "unchanged")


async def test_an_unknown_type_is_refused_with_the_nearest(contract: Service) -> None:
    response = await post(contract, "unknown-type", submission={"type": "ecoh"})
    error = refused(response, 422, "UNKNOWN_JOB_TYPE")
    assert [each["path"] for each in error["details"]["errors"]] == ["submission.type"]
    assert "echo" in error["details"]["near"]


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", {"Content-Type": "application/json"}, 400, "INVALID_JSON"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"[]", {"Content-Type": "application/json"}, 422, "VALIDATION_FAILED"),
        (b"null", {"Content-Type": "application/json"}, 422, "VALIDATION_FAILED"),
        (b"x" * 1_200_000, {"Content-Type": "application/json"}, 413, "BODY_TOO_LARGE"),
    ],
)
async def test_a_body_that_is_no_schedule_is_refused(
    contract: Service, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    await unfit(contract)
    refused(await contract.client.post(PATH, content=content, headers=headers), status, code)
    refused(await contract.client.patch(f"{PATH}/unchanged", content=content, headers=headers), status, code)


async def test_parameters_that_are_too_large_are_refused(contract: Service) -> None:
    submission = {**ECHO, "parameters": {"text": "x" * 300_000}}
    error = refused(await post(contract, "too-large", submission=submission), 413, "BODY_TOO_LARGE")
    assert [each["path"] for each in error["details"]["errors"]] == ["submission.parameters"]


# Changing one


async def test_what_is_left_out_of_a_change_stays(contract: Service) -> None:
    before = await made(contract, "stays", overlap="skip", submission={**ECHO, "priority": 3})
    after = await patched(contract, "stays", catchUp="all")
    assert after.pop("updatedAt") >= before.pop("updatedAt")
    assert after == {**before, "catchUp": "all"}
    again = await patched(contract, "stays")
    assert {**after, "updatedAt": again["updatedAt"]} == again


async def test_another_cron_or_zone_makes_it_due_anew(contract: Service) -> None:
    await made(contract, "anew", "0 12 * * *")
    noon = datetime.fromisoformat((await patched(contract, "anew", timezone="Asia/Tokyo"))["nextRunAt"])
    assert (noon.hour, noon.minute) == (3, 0)
    later = await patched(contract, "anew", cron="@monthly")
    assert later["cron"] == "@monthly"
    first = datetime.fromisoformat(later["nextRunAt"])
    assert (first + timedelta(hours=9)).day == 1
    refused_answer = await contract.client.patch(f"{PATH}/anew", json={"timezone": "Tokyo"})
    assert "did you mean Asia/Tokyo?" in refused_answer.text
    assert (await contract.client.get(f"{PATH}/anew")).json() == later


async def test_what_is_due_stays_due_where_its_times_do_not_change(contract: Service) -> None:
    await made(contract, "still-due", "0 0 1 1 *")
    await contract.sql("update schedules set next_run_at = '2200-01-01' where name = 'still-due'")
    same = await patched(contract, "still-due", cron="0 0 1 1 *", timezone="UTC", paused=False, overlap="skip")
    assert same["nextRunAt"] == "2200-01-01T00:00:00.000Z"


async def test_an_expression_that_an_earlier_release_took_stays_until_it_is_replaced(contract: Service) -> None:
    await made(contract, "of-old", "0 * * * *")
    await contract.sql("update schedules set cron = '*/90 * * * *' where name = 'of-old'")
    assert (await patched(contract, "of-old", paused=True))["cron"] == "*/90 * * * *"
    resumed = await patched(contract, "of-old", cron="*/90 * * * *", paused=False)
    assert resumed["nextRunAt"][14:] == "00:00.000Z"
    refused_answer = await contract.client.patch(f"{PATH}/of-old", json={"cron": "*/91 * * * *"})
    assert 'has \\"*/91\\" for its minute' in refused_answer.text


async def test_a_pause_ends_from_now_on(contract: Service) -> None:
    before = await made(contract, "pausing")
    assert (await patched(contract, "pausing", paused=True))["nextRunAt"] is None
    assert (await patched(contract, "pausing", paused=False))["nextRunAt"] == before["nextRunAt"]


async def test_another_submission_replaces_the_whole(contract: Service) -> None:
    await made(contract, "replaced", submission={**ECHO, "parameters": {"a": 1}, "labels": {"x": "y"}})
    body = await patched(contract, "replaced", submission={"type": "echo", "parameters": {"b": 2}, "delaySeconds": 60})
    assert body["submission"] == {"type": "echo", "parameters": {"b": 2}, "delaySeconds": 60}
    accepted = (await contract.client.post(f"{PATH}/replaced/run")).json()
    view = await contract.job(accepted["jobId"])
    assert (view["parameters"], view["labels"]) == ({"b": 2}, {})


@pytest.mark.parametrize("member", ["cron", "timezone", "submission", "overlap", "catchUp", "paused"])
async def test_null_is_no_change(contract: Service, member: str) -> None:
    await unfit(contract)
    assert invalid_paths(await contract.client.patch(f"{PATH}/unchanged", json={member: None})) == [member]


async def test_a_name_cannot_be_changed(contract: Service) -> None:
    await unfit(contract)
    assert invalid_paths(await contract.client.patch(f"{PATH}/unchanged", json={"name": "other"})) == ["name"]


# Running and deleting one


async def test_run_submits_its_job_now_and_leaves_the_next_time(contract: Service) -> None:
    before = await made(contract, "now", submission={**ECHO, "parameters": {"a": 1}}, paused=True)
    response = await contract.client.post(f"{PATH}/now/run")
    assert response.status_code == 202
    AcceptedBody.model_validate_json(response.content, strict=True)
    job_id = response.json()["jobId"]
    assert response.headers["Location"] == f"/api/v1/jobs/{job_id}"
    assert response.headers["Retry-After"] == "1"
    view = await contract.ended(job_id)
    assert (view["status"], view["result"]) == ("completed", {"a": 1})
    after = (await contract.client.get(f"{PATH}/now")).json()
    assert after["lastJob"] == {"jobId": job_id, "dueAt": after["lastRunAt"]}
    assert view["correlationId"] == f"schedule:now:{after['lastRunAt']}"
    assert after == {**before, "lastRunAt": after["lastRunAt"], "lastJob": after["lastJob"]}
    rows = await contract.sql("select due_at, job_id from schedule_runs where name = 'now'")
    assert [(row[0], row[1]) for row in rows] == [(datetime.fromisoformat(after["lastRunAt"]), UUID(job_id))]


async def test_run_waits_for_the_end_where_asked(contract: Service) -> None:
    await made(contract, "waits", submission={**ECHO, "parameters": {"a": 2}})
    response = await contract.client.post(f"{PATH}/waits/run", headers={"Prefer": "wait=20"})
    assert (response.status_code, response.json()["result"]) == (200, {"a": 2})
    assert response.headers["Preference-Applied"] == "wait=20"


async def test_run_names_the_job_that_has_its_unique_key(contract: Service) -> None:
    await made(contract, "deduplicated", submission={**ECHO, "uniqueKey": "deduplicated", "delaySeconds": 3600})
    first, second = [(await contract.client.post(f"{PATH}/deduplicated/run")).json() for _ in range(2)]
    assert second == {**first, "deduplicated": True}


async def test_a_run_of_a_job_that_is_refused_is_refused(contract: Service) -> None:
    parent = (await contract.submit("echo", uniqueKey="run-refused"))["jobId"]
    await contract.ended(parent)
    await made(contract, "run-refused", submission={**ECHO, "dependsOn": [parent]})
    await contract.drop(parent)
    response = await contract.client.post(f"{PATH}/run-refused/run")
    assert response.status_code == 422
    assert (await contract.client.get(f"{PATH}/run-refused")).json()["lastJob"] is None
    assert await contract.sql("select from schedule_runs where name = 'run-refused'") == []


async def test_a_deleted_one_is_gone_and_its_name_free(contract: Service) -> None:
    await made(contract, "deleted")
    accepted = (await contract.client.post(f"{PATH}/deleted/run")).json()
    response = await contract.client.delete(f"{PATH}/deleted")
    assert (response.status_code, response.content) == (204, b"")
    refused(await contract.client.get(f"{PATH}/deleted"), 404, "NOT_FOUND")
    refused(await contract.client.delete(f"{PATH}/deleted"), 404, "NOT_FOUND")
    assert (await contract.ended(accepted["jobId"]))["status"] == "completed"
    assert (await made(contract, "deleted"))["lastJob"] is None


@pytest.mark.parametrize("name", ["nobody", "-a", "a%00b", "a%20b", "%ED%A0%80", "x" * 200])
async def test_an_unknown_name_is_not_found_by_any_method(contract: Service, name: str) -> None:
    path = f"{PATH}/{name}"
    refused(await contract.client.get(path), 404, "NOT_FOUND")
    refused(await contract.client.patch(path, json={"paused": True}), 404, "NOT_FOUND")
    refused(await contract.client.delete(path), 404, "NOT_FOUND")
    refused(await contract.client.post(f"{path}/run"), 404, "NOT_FOUND")


# Listing


async def test_pages_lead_through_all_by_name(contract: Service) -> None:
    for name in ("page-b", "page-a", "page-c"):
        await made(contract, name)
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        response = await contract.client.get(PATH, params={"limit": 2, **cursor})
        SchedulePage.model_validate_json(response.content, strict=True)
        page = response.json()
        names += [item["name"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert names == sorted(set(names))
    assert {"page-a", "page-b", "page-c"} <= set(names)
    assert names == [item["name"] for item in (await contract.client.get(PATH, params={"limit": 200})).json()["items"]]


async def test_what_is_no_query_is_refused(contract: Service) -> None:
    for query in ({"limit": 0}, {"limit": 201}, {"cursor": "x"}, {"name": "a"}):
        assert invalid_paths(await contract.client.get(PATH, params=query)) == list(query), query
    await unfit(contract)
    assert invalid_paths(await contract.client.get(f"{PATH}/unchanged?verbose=1")) == ["verbose"]
    assert invalid_paths(await contract.client.post(f"{PATH}/unchanged/run?wait=1")) == ["wait"]


async def test_other_methods_are_not_allowed(contract: Service) -> None:
    response = await contract.client.post(f"{PATH}/unchanged", json={})
    refused(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
