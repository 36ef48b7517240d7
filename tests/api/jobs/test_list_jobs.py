"""`GET /api/v1/jobs`: pages, filters and cursors."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from duly.api.contract.response_models import JobPage
from duly.domain.ids import new_job_id, smallest_id_at
from duly.domain.timestamps import rfc3339
from duly.store.read import list_jobs
from tests.support.lease_worker import claim_one, post
from tests.support.response_checks import invalid_paths
from tests.support.service import Service

LATER = "2100-01-01T00:00:00.000Z"


async def _page(contract: Service, **query: Any) -> dict[str, Any]:
    response = await contract.whole("/api/v1/jobs", params=query)
    assert response.status_code == 200, response.text
    assert set(response.json()) == {"items", "nextCursor"}
    JobPage.model_validate_json(response.content, strict=True)
    page: dict[str, Any] = response.json()
    return page


async def _ids(contract: Service, **query: Any) -> list[str]:
    return [job["jobId"] for job in (await _page(contract, **query))["items"]]


async def _submit(contract: Service, queue: str, **members: Any) -> str:
    job_id: str = (await contract.submit("echo", queue=queue, **({"runAt": LATER} | members)))["jobId"]
    return job_id


async def test_pages_lead_through_all_jobs_newest_first_without_gap_or_repeat(contract: Service) -> None:
    made = [await _submit(contract, "paged") for _ in range(23)]
    for limit in (1, 5, 22, 23, 24, 200):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await _page(contract, queue="paged", limit=limit, **cursor)
            assert len(page["items"]) <= limit
            seen += [job["jobId"] for job in page["items"]]
            if page["nextCursor"] is None:
                break
            cursor = {"cursor": page["nextCursor"]}
        assert seen == contract.newest_first(made), limit


async def test_jobs_that_come_in_between_do_not_shift_the_pages(contract: Service) -> None:
    made = [await _submit(contract, "shift") for _ in range(4)]
    first = await _page(contract, queue="shift", limit=2)
    await _submit(contract, "shift")

    second = await _page(contract, queue="shift", limit=2, cursor=first["nextCursor"])
    assert [job["jobId"] for job in first["items"] + second["items"]] == contract.newest_first(made)


async def test_an_item_of_a_list_is_the_same_as_the_job_read_by_itself(contract: Service) -> None:
    for type_ in ("echo", "fail", "progress"):
        view = await contract.run(type_, queue="same")
        items = (await _page(contract, queue="same", limit=1))["items"]
        assert items == [view]


async def test_an_empty_list_is_an_empty_page(contract: Service) -> None:
    assert await _page(contract, queue="none") == {"items": [], "nextCursor": None}


async def test_fifty_jobs_are_a_page_where_no_limit_is_named(contract: Service) -> None:
    for _ in range(51):
        await _submit(contract, "fifty")

    page = await _page(contract, queue="fifty")
    assert len(page["items"]) == 50
    assert page["nextCursor"]


async def test_each_filter_restricts_the_list_and_a_repeated_one_takes_either(contract: Service) -> None:
    pending = await _submit(contract, "f1")
    other = await _submit(contract, "f2")
    failed = (await contract.run("fail", queue="f1"))["jobId"]
    completed = (await contract.run("progress", queue="f1"))["jobId"]
    cancelled = await _submit(contract, "f1")
    await contract.client.post(f"/api/v1/jobs/{cancelled}/cancel")

    order = contract.newest_first([pending, other, failed, completed, cancelled])
    assert await _ids(contract, queue="f1") == [each for each in order if each != other]
    assert await _ids(contract, queue=["f1", "f2"]) == order
    for status, expected in (
        ("pending", [pending]),
        ("running", []),
        ("completed", [completed]),
        ("failed", [failed]),
        ("cancelled", [cancelled]),
        (["pending", "failed"], [failed, pending]),
        (["pending", "running", "completed", "failed", "cancelled"], [cancelled, completed, failed, pending]),
    ):
        found = await _ids(contract, queue="f1", status=status)
        assert found == [each for each in order if each in expected], status
    assert await _ids(contract, queue="f1", type="fail") == [failed]
    both = await _ids(contract, queue="f1", type=["fail", "progress"])
    assert both == [each for each in order if each in {completed, failed}]
    assert await _ids(contract, queue="f1", type="nothing-like-it") == []
    both = await _ids(contract, queue="f1", type=["echo", "fail"], status=["failed", "cancelled"])
    assert both == [each for each in order if each in {cancelled, failed}]


async def test_a_filter_goes_on_over_the_pages(contract: Service) -> None:
    kept = []
    for number in range(9):
        job_id = await _submit(contract, "sieve", labels={"third": str(number % 3 == 0)})
        kept += [job_id] if number % 3 == 0 else []

    first = await _page(contract, queue="sieve", label="third:True", limit=2)
    rest = await _page(contract, queue="sieve", label="third:True", limit=2, cursor=first["nextCursor"])
    assert [job["jobId"] for job in first["items"] + rest["items"]] == contract.newest_first(kept)
    assert rest["nextCursor"] is None


async def test_labels_of_different_names_are_both_asked_for_and_of_one_name_either(contract: Service) -> None:
    one = await _submit(contract, "l", labels={"customer": "c-1", "region": "eu"})
    two = await _submit(contract, "l", labels={"customer": "c-2", "region": "eu"})
    three = await _submit(contract, "l", labels={"customer": "c-3", "url": "http://x:1"})
    await _submit(contract, "l")

    for label, expected in (
        ("customer:c-1", [one]),
        ("customer:c-9", []),
        ("customer:", []),
        ("url:http://x:1", [three]),
        (["customer:c-1", "region:eu"], [one]),
        (["customer:c-3", "region:eu"], []),
        (["customer:c-1", "customer:c-3"], contract.newest_first([one, three])),
        (["customer:c-1", "customer:c-2", "region:eu"], contract.newest_first([one, two])),
    ):
        assert await _ids(contract, queue="l", label=label) == expected, label


async def test_times_bound_the_list_by_what_it_shows(contract: Service) -> None:
    made = [await contract.submit("echo", queue="times", runAt=LATER) for _ in range(3)]
    first, middle, last = (job["jobId"] for job in made)
    # Recorded a good second after their ids were made, as happens where the database is slow.
    for second, job in enumerate(made, start=1):
        statement = "update jobs set created_at = created_at + $2 * interval '1 second' where job_id = $1"
        await contract.sql(statement, UUID(job["jobId"]), second)
    at, end = [(await contract.job(job_id))["createdAt"] for job_id in (middle, last)]

    assert await _ids(contract, queue="times", createdAfter=at) == contract.newest_first([middle, last])
    assert await _ids(contract, queue="times", createdBefore=at) == [first]
    assert await _ids(contract, queue="times", createdAfter=at, createdBefore=end) == [middle]
    assert await _ids(contract, queue="times", createdAfter=at.replace("Z", "+00:00")) == contract.newest_first(
        [middle, last]
    )
    for early in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T00:00:00Z"):
        assert len(await _ids(contract, queue="times", createdAfter=early)) == 3
        assert await _ids(contract, queue="times", createdBefore=early) == []
    for late in ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"):
        assert len(await _ids(contract, queue="times", createdBefore=late)) == 3
        assert await _ids(contract, queue="times", createdAfter=late) == []


@pytest.mark.parametrize("hours", [-23, -1, 0, 1, 23])
async def test_an_id_of_another_time_is_listed_by_when_its_job_was_created(contract: Service, hours: int) -> None:
    queue = f"placed{hours}"
    before = await _submit(contract, queue)
    job_id = UUID(int=smallest_id_at(datetime.now(UTC) + timedelta(hours=hours)).int | new_job_id().int % (1 << 80))
    response = await contract.client.put(
        f"/api/v1/jobs/{job_id}", json={"type": "echo", "queue": queue, "runAt": LATER}
    )
    at = response.json()["createdAt"]
    beside = await _submit(contract, queue, uniqueKey=queue, labels={"of": "it"})
    ids = sorted([before, str(job_id), beside], reverse=True)
    first, last = [(await contract.job(job))["createdAt"] for job in (before, beside)]
    soon = rfc3339(datetime.fromisoformat(last) + timedelta(seconds=1))

    assert await _ids(contract, queue=queue, createdAfter=first, createdBefore=soon) == ids
    assert str(job_id) in await _ids(contract, queue=queue, createdAfter=at, status="pending", type="echo")
    assert str(job_id) not in await _ids(contract, queue=queue, createdBefore=first)
    assert await _ids(contract, queue=queue, createdAfter=soon) == []
    paged: list[str] = []
    cursor: dict[str, str] = {}
    for _ in ids:
        page = await _page(contract, queue=queue, createdAfter=first, createdBefore=soon, limit=1, **cursor)
        paged += [job["jobId"] for job in page["items"]]
        cursor = {"cursor": page["nextCursor"]}
    assert paged == ids
    assert cursor == {"cursor": None}


async def test_a_tampered_cursor_is_refused_whichever_byte_was_changed(contract: Service) -> None:
    for _ in range(2):
        await _submit(contract, "cursor")
    cursor = (await _page(contract, queue="cursor", limit=1))["nextCursor"]
    tampered = [
        cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(len(cursor))
    ]
    tampered += [
        "",
        "x",
        cursor[:-1],
        cursor + "A",
        cursor + "=",
        cursor.upper(),
        "ü",
        "\x00",
        "A" * 5000,
        "%",
        " " + cursor,
    ]

    for text in tampered:
        response = await contract.client.get("/api/v1/jobs", params={"cursor": text})
        assert invalid_paths(response) == ["cursor"], text
    other = (await contract.client.get("/api/v1/job-types", params={"limit": 1})).json()["nextCursor"]
    assert invalid_paths(await contract.client.get("/api/v1/jobs", params={"cursor": other})) == ["cursor"]


async def test_what_is_no_query_of_a_list_is_refused_and_named(contract: Service) -> None:
    for query, path in (
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"limit": "99999999999999999999999"}, "limit"),
        ({"batchId": "x"}, "batchId[0]"),
        ({"batchId": "0199c1f0000070008000000000000000"}, "batchId[0]"),
        ({"type": ["echo"] * 51}, "type"),
        ({"status": "done"}, "status[0]"),
        ({"status": ""}, "status[0]"),
        ({"label": "nocolon"}, "label[0]"),
        ({"label": ":x"}, "label[0]"),
        ({"label": "a:\x00"}, "label[0]"),
        ({"type": "\x00"}, "type[0]"),
        ({"queue": "a\x00b"}, "queue[0]"),
        ({"createdAfter": "yesterday"}, "createdAfter"),
        ({"createdAfter": "2026-01-27T10:00:00"}, "createdAfter"),
        ({"createdBefore": "1769515200"}, "createdBefore"),
        ({"colour": "red"}, "colour"),
        ({"Status": "pending"}, "Status"),
    ):
        assert invalid_paths(await contract.client.get("/api/v1/jobs", params=query)) == [path], query


async def test_the_jobs_of_a_batch_are_listed_by_its_id(contract: Service) -> None:
    made = []
    for queue in ("b1", "b2"):
        jobs = [{"type": "echo", "queue": queue, "runAt": LATER, "labels": {"n": str(n)}} for n in range(7)]
        response = await contract.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
        assert response.status_code == 202, response.text
        made.append(response.json())
        await _submit(contract, queue)
    first, second = made
    await contract.client.post(f"/api/v1/jobs/{first['jobIds'][3]}/cancel")

    assert await _ids(contract, batchId=first["batchId"]) == first["jobIds"][::-1]
    both = [first["batchId"], second["batchId"]]
    assert await _ids(contract, batchId=both) == contract.newest_first(first["jobIds"] + second["jobIds"])
    assert await _ids(contract, batchId=both, queue="b2") == second["jobIds"][::-1]
    assert await _ids(contract, batchId=both, status="cancelled") == [first["jobIds"][3]]
    assert await _ids(contract, batchId=both, label="n:6") == contract.newest_first(
        [first["jobIds"][6], second["jobIds"][6]]
    )
    assert await _ids(contract, batchId="0199c1f0-0000-7000-8000-000000000000") == []
    page = await _page(contract, batchId=first["batchId"], limit=5)
    rest = await _page(contract, batchId=first["batchId"], limit=5, cursor=page["nextCursor"])
    assert [job["jobId"] for job in page["items"] + rest["items"]] == first["jobIds"][::-1]
    assert {job["batchId"] for job in page["items"]} == {first["batchId"]}


async def test_a_filter_named_twice_with_the_same_value_shows_each_job_once(contract: Service) -> None:
    job_id = await _submit(contract, "twice", labels={"a": "1"})

    for query in (
        {"queue": ["twice", "twice"]},
        {"queue": "twice", "type": ["echo", "echo"]},
        {"queue": "twice", "label": ["a:1", "a:1"]},
        {"queue": "twice", "status": ["pending", "pending"]},
    ):
        assert await _ids(contract, **query) == [job_id], query


async def test_a_job_that_ended_twice_is_listed_once_by_its_last_end(contract: Service) -> None:
    failed = (await contract.run("fail", queue="ends"))["jobId"]
    await contract.client.post(f"/api/v1/jobs/{failed}/retry")
    await contract.until(failed, lambda view: view["status"] == "failed" and view["sequence"] > 3)
    assert (await contract.event_types(failed)).count("JobFailed") == 2

    assert await _ids(contract, queue="ends", status="failed") == [failed]
    assert await _ids(contract, queue="ends", status=["failed", "completed"]) == [failed]
    assert await _ids(contract, queue="ends", status=["failed", "pending"]) == [failed]


async def test_a_search_that_takes_too_long_is_continued_by_the_next_page(
    contract: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_jobs, "FIRST_ROUND", 1)
    monkeypatch.setattr(list_jobs, "ROUNDS_GROW", 1)
    monkeypatch.setattr(list_jobs, "WALK_SECONDS", 0.0)
    wanted = [await _submit(contract, "needle", labels={"found": "yes"})]
    for _ in range(12):
        await _submit(contract, "needle")
    wanted.append(await _submit(contract, "needle", labels={"found": "yes"}))

    for query in ({"queue": "needle"}, {}):
        pages = [await _page(contract, label="found:yes", limit=1, **query)]
        while pages[-1]["nextCursor"] is not None:
            assert len(pages) < 1_000
            cursor = pages[-1]["nextCursor"]
            pages.append(await _page(contract, label="found:yes", limit=1, cursor=cursor, **query))
        assert [job["jobId"] for page in pages for job in page["items"]] == contract.newest_first(wanted)
        assert any(page["items"] == [] for page in pages[:-1])


@pytest.mark.parametrize("path", ["jobs", "jobs/none/events", "queues", "webhooks", "events/stream"])
async def test_an_unknown_query_parameter_is_called_so_by_every_list(contract: Service, path: str) -> None:
    response = await contract.client.get(f"/api/v1/{path}", params={"limt": 2})

    assert invalid_paths(response) == ["limt"]
    assert response.json()["error"]["message"].startswith("limt: unknown query parameter")


async def test_the_children_of_a_job_are_listed_by_their_parent(contract: Service) -> None:
    await contract.client.put("/api/v1/job-types/parent", json={})
    parents, children = [], []
    for _ in range(2):
        parents.append((await contract.submit("parent"))["jobId"])
        lease = await claim_one(contract, "parent")
        answer = await post(contract, lease, "jobs", {"jobs": [{"type": "echo", "delaySeconds": 3600}] * 2})
        children.append(answer.json()["jobIds"])
    assert [await _ids(contract, parentId=parent) for parent in parents] == [of_one[::-1] for of_one in children]
    assert sorted(await _ids(contract, parentId=parents)) == sorted(children[0] + children[1])
    assert await _ids(contract, parentId=parents[0], status="failed") == []
    assert await _ids(contract, parentId=str(new_job_id())) == []
    assert invalid_paths(await contract.client.get("/api/v1/jobs", params={"parentId": "x"})) == ["parentId[0]"]
