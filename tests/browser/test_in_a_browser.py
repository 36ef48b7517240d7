"""Chromium: the page with a progress bar, its EventSource over cuts and restarts, and pages of other sites."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest

from tests.support.browser import Browser, Relay, running_browser, running_relay
from tests.support.forked_commands import ROOT
from tests.support.handlers import gate, has_entered
from tests.support.parked_jobs import parked_job
from tests.support.restarts import restarts
from tests.support.service import BOUND_SECONDS, Service, running_service
from tests.support.typescript_client import built_package

KEY = "sk-a-long-and-secret-key"
STEPS = 3
WHOLE = ["0 job_submitted", "1 job_started", *(f"{n + 1} job_progress" for n in range(1, STEPS + 1)), "5 job_completed"]
StartService = Callable[..., Awaitable[Service]]
SHOWN = "return [...document.querySelectorAll('#events li')].map(one => one.textContent)"


@pytest.fixture(scope="module")
async def browser_of_module() -> AsyncIterator[Browser]:
    async with running_browser() as running:
        yield running


@pytest.fixture
async def browser(browser_of_module: Browser) -> AsyncIterator[Browser]:
    """Browser whose page is left after the test: it would go on to connect to ports that are free then."""
    yield browser_of_module
    await browser_of_module.open("about:blank")


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    async with running_relay("") as running:
        yield running


@asynccontextmanager
async def running_backend(**variables: str) -> AsyncIterator[str]:
    """Returns the address of the example's backend."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "examples" / "progress-bar" / "backend.py")),
        env=kept | {"PORT": "0", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            address = (await process.stdout.readline()).decode().strip()
        yield address
    finally:
        process.terminate()
        await process.wait()


async def step(number: int) -> None:
    gate(f"bar-{number}").set()
    async with asyncio.timeout(BOUND_SECONDS):
        await has_entered(f"bar-{number}:told").wait()


PAGES = ["/", "/with-client"]


@pytest.fixture
def built_client(pytestconfig: pytest.Config) -> str:
    """Folder of the TypeScript client."""
    return str(built_package(pytestconfig) / "dist")


@pytest.mark.parametrize("path", PAGES)
async def test_a_progress_bar_goes_on_after_a_cut_and_a_restart_and_shows_each_event_once(
    browser: Browser, relay: Relay, database_url: str, built_client: str, path: str
) -> None:
    async with (
        running_backend(DULY_URL=relay.url, DULY_API_KEY=KEY, DULY_CLIENT=built_client) as page,
        running_service(database_url, api_key=KEY) as worker,
        restarts(database_url, relay, api_key=KEY, allowed_origins=(page,)) as api,
    ):
        worker.client.headers["Authorization"] = f"Bearer {KEY}"
        job = await worker.submit("tell-at-gates", {"name": "bar", "steps": STEPS})
        await browser.open(f"{page}{path}#{job['jobId']}")
        await step(1)
        await browser.until(f"{SHOWN}.length === 3")
        assert await browser.run("return [bar.value, text.textContent]") == [1, "step 1"]
        relay.cut()
        await step(2)
        await browser.until(f"{SHOWN}.length === 4")
        await api.stop()
        await step(3)
        await api.start()
        await browser.until("return text.textContent === 'done'")
        assert await browser.run(SHOWN) == WHOLE
        assert await browser.run("return bar.value") == 100


@pytest.mark.parametrize("path", PAGES)
async def test_the_page_starts_a_job_and_shows_how_it_ends(
    browser: Browser, relay: Relay, start_service: StartService, built_client: str, path: str
) -> None:
    async with running_backend(DULY_URL=relay.url, DULY_API_KEY=KEY, DULY_CLIENT=built_client) as page:
        service = await start_service(api_key=KEY, allowed_origins=(page,))
        service.client.headers["Authorization"] = f"Bearer {KEY}"
        relay.target = service.url
        await browser.open(f"{page}{path}")
        await browser.run("document.getElementById('start').click()")
        await browser.until(f"{SHOWN}.length >= 2")
        job_id = await browser.run("return location.hash.slice(1)")
        assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code in {200, 202}
        await browser.until(
            "return text.textContent.startsWith('The job was cancelled') || text.textContent === 'cancelled'"
        )
        await browser.open(f"{page}{path}#{UUID(int=UUID(job_id).int ^ 1)}")
        await browser.until("return text.textContent === 'Job not found.'")


FOLLOW = """
window.seen = []
window.source = new EventSource(arguments[0])
for (const type of ["job_submitted", "job_started", "job_progress", "job_completed"])
    source.addEventListener(type, told => seen.push(`${told.lastEventId} ${type}`))
"""


@pytest.mark.parametrize("origin", ["own", "another"])
async def test_the_browsers_own_eventsource_misses_nothing_over_a_cut_and_a_restart(
    browser: Browser, relay: Relay, database_url: str, origin: str
) -> None:
    async with (
        running_backend() as page,
        running_service(database_url) as worker,
        restarts(database_url, relay, allowed_origins=(page,)) as api,
    ):
        job = await worker.submit("tell-at-gates", {"name": "bar", "steps": STEPS})
        await browser.open(f"{relay.url}/healthz" if origin == "own" else page)
        await browser.run(FOLLOW, f"{relay.url}/api/v1/jobs/{job['jobId']}/events/stream")
        await step(1)
        await browser.until("return seen.length === 3")
        relay.cut()
        await step(2)
        await browser.until("return seen.length === 4")
        await api.stop()
        await step(3)
        await api.start()
        await browser.until("return source.readyState === EventSource.CLOSED")  # by 204, once it has all
        assert await browser.run("return seen") == WHOLE


ATTACK = """
const [url, job] = arguments
const settled = promise => promise.then(answer => answer.type, error => error.name)
const opened = source => new Promise(done => { source.onopen = () => done(true); source.onerror = () => done(false) })
return Promise.all([
    settled(fetch(`${url}/api/v1/jobs/${job}/cancel`, {method: "POST", mode: "no-cors"})),
    settled(fetch(`${url}/api/v1/jobs`, {method: "POST", body: '{"type":"echo"}', mode: "no-cors"})),
    settled(fetch(`${url}/api/v1/jobs`)),
    opened(new EventSource(`${url}/api/v1/events/stream`)),
    opened(new WebSocket(`${url.replace("http", "ws")}/ws/jobs`)),
])
"""


async def test_a_page_of_another_site_neither_steers_nor_reads_an_open_service(
    browser: Browser, start_service: StartService
) -> None:
    service = await start_service()
    job = await service.submit("echo", delaySeconds=3600)
    async with running_backend() as page:
        await browser.open(page)
        told = await browser.run(ATTACK, service.url, job["jobId"])
        # A page gets no result for the first two; their effect is checked below.
        assert told == ["opaque", "opaque", "TypeError", False, False]
        await browser.open(page.replace("127.0.0.1", "evil.test"))
        assert (await browser.run(ATTACK, service.url, job["jobId"]))[2:] == ["TypeError", False, False]
    await browser.open(service.url.replace("127.0.0.1", "evil.test") + "/docs")
    assert 'Host \\"evil.test:' in await browser.run("return document.body.textContent")
    assert (await service.job(job["jobId"]))["status"] == "pending"
    assert await service.sql("select count(*) from jobs") == [(1,)]


READ = """
const [url, headers] = arguments
return fetch(url, {headers}).then(async answer => [answer.status, await answer.text()], error => [error.name])
"""


async def test_a_page_of_an_allowed_site_reads_streams_and_their_errors_and_nothing_else(
    browser: Browser, start_service: StartService
) -> None:
    async with running_backend() as page:
        service = await start_service(api_key=KEY, allowed_origins=(page,))
        service.client.headers["Authorization"] = f"Bearer {KEY}"
        job = await service.run("echo")
        stream = f"{service.url}/api/v1/jobs/{job['jobId']}/events/stream"
        key = {"Authorization": f"Bearer {KEY}"}
        await browser.open(page)
        status, told = await browser.run(READ, stream, {**key, "Last-Event-ID": "1"})
        assert (status, "job_completed" in told, "job_started" in told) == (200, True, False)
        status, told = await browser.run(READ, stream, {})
        assert (status, "UNAUTHORIZED" in told) == (401, True)
        assert await browser.run(READ, f"{service.url}/api/v1/jobs", key) == ["TypeError"]


FITS = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"


async def test_a_person_answers_the_question_of_a_job_on_a_narrow_screen(
    browser: Browser, start_service: StartService
) -> None:
    service = await start_service()
    service.node.signal_links._base = service.url
    job_id = await parked_job(service, "decision")
    link = service.node.signal_links.url(
        *(1, UUID(job_id), "decision"),
        expires_at=service.node.clock.now() + timedelta(hours=1),
        question="Publish the report " + "with-a-long-title" * 10 + "?",
        choices=["approve", "reject"],
        comment=True,
    )
    await browser.resize(360, 640)
    try:
        await browser.open(link)
        assert await browser.run(FITS)
        height = "return document.querySelector('button').getBoundingClientRect().height"
        assert await browser.run(height) >= 44  # a finger's width, by the guidelines of phones
        await browser.run("document.querySelector('textarea').value = 'well done'")
        await browser.run("document.querySelector('button[value=approve]').click()")
        await browser.until("return document.body.innerText.includes('The answer is')")
        assert await browser.run(FITS)
    finally:
        await browser.resize(1200, 900)
    assert (await service.ended(job_id))["status"] == "completed"
    [signalled] = [event for event in await service.events(job_id) if event["eventType"] == "JobSignalled"]
    assert signalled["data"]["body"] == {"choice": "approve", "comment": "well done"}
