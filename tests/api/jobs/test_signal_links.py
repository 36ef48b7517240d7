"""`/signals/{token}`: people answer the question of a job by a link; looking at it changes nothing."""

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from duly.domain.signal_link import InvalidLink
from duly.lifecycle.signals.links import base_url
from duly.settings import Settings
from tests.support.keys import OWN, audit_log, bearer
from tests.support.parked_jobs import LATER, parked_job
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
PUBLIC = "https://jobs.example.com/duly"


@pytest.fixture(scope="module")
async def links(contract: Service) -> Service:
    contract.node.signal_links._base = PUBLIC  # its port is not known to the settings
    return contract


def _link(service: Service, job_id: str, *, seconds: float = 3600, **members: Any) -> str:
    """Returns the path of a link."""
    ends = service.node.clock.now() + timedelta(seconds=seconds)
    given = {"choices": ["approve", "reject"], "question": "Approve invoice 42?", **members}
    url = service.node.signal_links.url(1, UUID(job_id), "approval", expires_at=ends, **given)
    assert url.startswith(f"{PUBLIC}/signals/")
    return url.removeprefix(PUBLIC)


async def _answer(service: Service, path: str, **fields: str) -> httpx.Response:
    return await service.client.post(path, data=fields)


def _text(page: httpx.Response) -> str:
    """Returns the text of a page, after the checks that apply to each."""
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Robots-Tag"] == "noindex"
    assert page.headers.get_list("Referrer-Policy") == ["same-origin"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in page.text
    assert '<meta name="viewport" content="width=device-width' in page.text
    body = page.text.partition("<body>")[2]
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


async def _signals(service: Service, job_id: str) -> list[Any]:
    events = await service.events(job_id)
    return [event["data"]["body"] for event in events if event["eventType"] == "JobSignalled"]


async def test_looking_shows_the_question_and_changes_nothing(links: Service) -> None:
    job_id = await parked_job(links, "approval")
    path, before = _link(links, job_id, recipient="Ann"), await links.job(job_id)
    for _ in range(2):
        page = await links.client.get(path)
        text = _text(page)
        assert page.status_code == 200
        for shown in ("Approve invoice 42?", "approve", "reject", "echo", job_id, "approval", "Ann"):
            assert shown in text
        assert '<form method="post">' in page.text
    head = await links.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert await links.job(job_id) == before
    await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_an_answer_resumes_the_job_once(links: Service) -> None:
    job_id = await parked_job(links, "approval")
    path = _link(links, job_id)
    page = await _answer(links, path, choice="approve")
    assert page.status_code == 200
    assert "The answer is “approve”" in _text(page)
    assert (await links.ended(job_id))["status"] == "completed"

    again = await _answer(links, path, choice="approve")  # a double click
    other = await _answer(links, path, choice="reject")
    seen = await links.client.get(path)
    assert [each.status_code for each in (again, other, seen)] == [200, 409, 200]
    for each in (again, other, seen):
        assert "The answer is “approve”" in _text(each)
        assert "<form" not in each.text
    assert await _signals(links, job_id) == [{"choice": "approve"}]


async def test_of_two_answers_at_once_one_is_recorded(links: Service) -> None:
    job_id = (await links.submit("echo", runAt=LATER))["jobId"]
    path = _link(links, job_id)
    pages = await asyncio.gather(*(_answer(links, path, choice=each) for each in ("approve", "reject")))
    [recorded] = await _signals(links, job_id)
    assert sorted(page.status_code for page in pages) == [200, 409]
    for page in pages:
        assert f"The answer is “{recorded['choice']}”" in _text(page)
    await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_a_comment_is_sent_if_the_link_allows_one(links: Service) -> None:
    job_id = (await links.submit("echo", runAt=LATER))["jobId"]
    path = _link(links, job_id, comment=True)
    assert "<textarea" in (await links.client.get(path)).text
    await _answer(links, path, choice="reject", comment="too expensive\r\nask again")
    assert await _signals(links, job_id) == [{"choice": "reject", "comment": "too expensive\nask again"}]
    await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_without_choices_the_question_is_confirmed(links: Service) -> None:
    job_id = (await links.submit("echo", runAt=LATER))["jobId"]
    path = _link(links, job_id, choices=(), question=None)
    assert 'asks for the signal "approval"' in _text(await links.client.get(path))
    assert (await _answer(links, path, choice="confirm", comment="not asked for")).status_code == 200
    assert await _signals(links, job_id) == [{"choice": "confirm"}]
    await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_another_answer_than_those_of_the_link_is_refused(links: Service) -> None:
    job_id = (await links.submit("echo", runAt=LATER))["jobId"]
    path = _link(links, job_id)
    for sent in ({"data": {"choice": "confirm"}}, {"json": {"choice": "approve"}}, {"content": b"\xff"}, {}):
        page = await links.client.post(path, **sent)
        assert page.status_code == 422
        assert "Choose one of the answers." in _text(page)
    assert await _signals(links, job_id) == []
    await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_an_expired_link_sends_nothing(links: Service) -> None:
    expired = (await links.submit("echo", runAt=LATER))["jobId"]
    timed_out = await parked_job(links, "approval", until=LATER)
    paths = {expired: _link(links, expired, seconds=-1), timed_out: _link(links, timed_out)}
    await links.sql("update steps set until = now() where job_id = $1", UUID(timed_out))
    for job_id, path in paths.items():
        for page in (await links.client.get(path), await _answer(links, path, choice="approve")):
            assert page.status_code == 410
            assert "expired" in _text(page)
        assert await _signals(links, job_id) == []
        await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_the_link_of_an_ended_job_says_so(links: Service) -> None:
    job_id = (await links.submit("echo"))["jobId"]
    await links.ended(job_id)
    for page in (
        await links.client.get(_link(links, job_id)),
        await _answer(links, _link(links, job_id), choice="reject"),
    ):
        assert page.status_code == 410
        assert "ended already (completed)" in _text(page)


async def test_a_link_that_is_not_valid_is_unknown(links: Service) -> None:
    job_id = (await links.submit("echo", runAt=LATER))["jobId"]
    path = _link(links, job_id)
    deleted = _link(links, str(UUID(int=1)))
    for other in (path[:-1], path + "A", "/signals/x", deleted):
        for page in (await links.client.get(other), await _answer(links, other, choice="approve")):
            assert page.status_code == 404
            assert "not valid" in _text(page)
    await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_what_a_page_shows_is_escaped(links: Service) -> None:
    job_id = (await links.submit("echo", runAt=LATER))["jobId"]
    hostile = "<script>alert('1')</script>\"&"
    path = _link(links, job_id, question=hostile, choices=[hostile], recipient=hostile)
    page = await links.client.get(path)
    assert hostile in _text(page)
    assert (await _answer(links, path, choice=hostile)).status_code == 200
    await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_people_need_no_key_and_are_named_in_the_audit_log(
    start_service: StartService, capfd: pytest.CaptureFixture[str]
) -> None:
    service = await start_service(api_key=OWN, public_url=PUBLIC)
    headers = bearer(OWN)
    jobs = [{"type": "echo", "runAt": LATER}] * 2
    made = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=headers)
    job_id, other = made.json()["jobIds"]
    cross_site = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    path, unnamed = _link(service, job_id, recipient="Ann Lee"), _link(service, other)
    assert (await service.client.get(path, headers=cross_site)).status_code == 200
    assert (await service.client.put(path)).status_code == 401
    for each in (path, unnamed, path + "x"):
        await _answer(service, each, choice="approve")

    service.client.headers.update(headers)
    sent = [entry for entry in await audit_log(service) if entry["action"] == "signal.sent"]
    assert [(entry["actor"], entry["subject"]) for entry in sent] == [
        ("link:Ann Lee", job_id),
        ("link", other),
    ]
    logged = service.written(capfd)
    assert "/signals/{token}" in logged
    assert path.rpartition("/")[2][:40] not in logged


async def test_a_page_opens_from_a_mail_program_also_without_keys(links: Service) -> None:
    job_id = (await links.submit("echo", runAt=LATER))["jobId"]
    path = _link(links, job_id)
    cross_site = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await links.client.get(path, headers=cross_site)).status_code == 200
    framed = cross_site | {"Sec-Fetch-Dest": "iframe"}
    assert (await links.client.get(path, headers=framed)).status_code == 403
    assert (await links.client.post(path, data={"choice": "approve"}, headers=cross_site)).status_code == 403
    await links.client.post(f"/api/v1/jobs/{job_id}/cancel")


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({"public_url": "https://jobs.example.com"}, "https://jobs.example.com"),
        ({"public_url": "https://example.com/duly/"}, "https://example.com/duly"),
        ({"port": 8123}, "http://127.0.0.1:8123"),
        ({"host": "::1", "port": 8123, "root_path": "/duly"}, "http://[::1]:8123/duly"),
        ({"host": "0.0.0.0"}, None),
        ({"trusted_proxies": ("127.0.0.1",)}, None),
        ({"port": 0}, None),
    ],
)
def test_a_link_begins_with_the_address_of_the_service(settings: dict[str, Any], base: str | None) -> None:
    assert base_url(Settings(**settings)) == base


@pytest.mark.parametrize(
    "url", ["jobs.example.com", "ftp://example.com", "https://example.com/a b", "https://e.com/?a"]
)
def test_an_address_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"such as https://jobs\.example\.com"):
        Settings(public_url=url)


async def test_without_an_address_no_link_is_made(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    with pytest.raises(InvalidLink, match="DULY_PUBLIC_URL"):
        _link(service, str(UUID(int=1)))
