"""examples/document-approval: people answer by links, on a phone and by its one command."""

import asyncio
from pathlib import Path

import pytest
from document_approval import register
from document_approval.jobs import handlers
from document_approval.people import link_in_mail

from duly.testing import run_handler
from tests.support.browser import running_browser, running_relay
from tests.support.examples import run_example
from tests.support.keys import audit_log
from tests.support.service import running_service

LEGAL = {"role": "legal", "address": "legal@example.org", "deputy": "deputy@example.org"}
APPROVAL = {"package": "asyncpg", "approvers": [LEGAL]}
WEEK_SECONDS = 7 * 86_400
FITS = "return document.documentElement.scrollWidth <= window.innerWidth"


async def test_the_example_runs_by_its_one_command(database_url: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    printed = await run_example("document-approval", "--short", database_url=database_url, output=output)
    assert "A mail scanner opened 6 links: 200." in printed and "FAULT" not in printed
    assert printed.count("pending, waiting for signal") == 3
    assert "Another answer by the same link: 409." in printed
    assert "certifi: rejected, job completed; legal: approve, security: reject (MPL-2.0 needs" in printed
    assert "security-deputy@example.org answered 1" in printed
    assert "rich: withdrawn, job cancelled" in printed


async def test_a_person_answers_in_a_browser_by_the_link_of_the_mail(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPROVAL_FOLDER", str(tmp_path))
    async with running_relay("") as relay, running_browser() as browser:
        handlers = ("document_approval.jobs",)
        async with running_service(database_url, handlers=handlers, public_url=relay.url) as service:
            relay.target = service.url
            job_id = (await service.submit("approve-document", APPROVAL))["jobId"]
            await service.until(job_id, lambda job: job["waitingFor"] == "signal")
            link = await asyncio.to_thread(link_in_mail, "legal@example.org", "asyncpg")
            await browser.open(link)
            assert "May we use asyncpg" in await browser.run("return document.querySelector('h1').textContent")
            assert await browser.run(FITS)
            assert (await service.job(job_id))["status"] == "pending"
            await browser.run("document.getElementById('comment').value = 'Read it twice.'")
            await browser.run("document.querySelector('button[value=approve]').click()")
            decision = (await service.ended(job_id))["result"]
            assert (decision["state"], decision["answers"][0]["comment"]) == ("approved", "Read it twice.")
            assert register.answers_of(job_id) == [("legal", "approve", "Read it twice.")]
            sent = [entry["actor"] for entry in await audit_log(service) if entry["action"] == "signal.sent"]
            assert sent == ["link:legal@example.org"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APPROVAL_FOLDER", str(tmp_path))
    return tmp_path


async def test_the_deputy_is_asked_after_a_week_without_an_answer(folder: Path) -> None:
    answer = {"choice": "reject", "comment": "We have one already."}
    run = await run_handler(handlers, "approve-document", APPROVAL, signals={"legal-deputy": answer})
    assert run.result is not None and run.result["state"] == "rejected"
    assert run.result["answers"] == [{**answer, "role": "legal", "address": "deputy@example.org"}]
    assert run.waited_seconds == WEEK_SECONDS


async def test_an_approval_without_any_answer_fails_after_two_weeks(folder: Path) -> None:
    run = await run_handler(handlers, "approve-document", APPROVAL)
    assert run.error is not None and run.error["code"] == "NOT_ANSWERED" and not run.retried
    assert run.waited_seconds == 2 * WEEK_SECONDS


async def test_a_package_without_a_document_fails_without_another_attempt(folder: Path) -> None:
    run = await run_handler(handlers, "approve-document", APPROVAL | {"package": "no-such-package"})
    assert run.error is not None and run.error["code"] == "NO_DOCUMENT" and not run.retried
