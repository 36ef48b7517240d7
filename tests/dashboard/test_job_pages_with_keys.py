"""Views of jobs for keys that may not do everything, and while the service restarts."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.dashboard.conftest import HANDLERS, ShowDashboard
from tests.support.browser import running_relay
from tests.support.database_pool import TestDatabases
from tests.support.handlers import gate, has_entered
from tests.support.keys import OWN, bearer, make_key
from tests.support.postgres_servers import Server
from tests.support.restarts import restarts
from tests.support.service import Service, ServiceClient, running_service


@pytest.fixture(scope="module")
async def keyed(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """Service that requires keys, whose client sends the one of the settings."""
    async with (
        databases_of(server).lent() as url,
        running_service(url, api_key=OWN, handlers=HANDLERS) as running,
    ):
        running.client.headers.update(bearer(OWN))
        yield running


async def test_a_key_that_only_reads_jobs_sees_no_contents_and_changes_nothing(
    keyed: Service, show: ShowDashboard
) -> None:
    failed = await keyed.run("hostile", {"fails": True, "secret": "quiet words"})
    waits = await keyed.submit("echo", {"secret": "quiet words"}, delaySeconds=3600)
    dashboard = show(keyed)
    await dashboard.open("/ui")
    await dashboard.sign_in((await make_key(keyed, "jobs:read"))["key"])
    await dashboard.console_errors(besides=["401"])
    for job_id in (failed["jobId"], waits["jobId"]):
        await dashboard.open(f"/ui/jobs/{job_id}")
        await dashboard.shows("State", "Timeline", "needs a key with the scope jobs:payload", "scope webhooks")
        assert "quiet words" not in await dashboard.text()
    for name in ("Cancel job", "Send signal"):
        assert not await dashboard.enabled(name)
    await dashboard.open("/ui/jobs?status=failed")
    await dashboard.shows("hostile")
    for name in ("Retry all", "Submit job"):
        assert not await dashboard.enabled(name)
    titles = await dashboard.run("return [...document.querySelectorAll('main button[title]')].map(one => one.title)")
    assert {"This needs a key with the scope admin.", "This needs a key with the scope jobs:write."} <= set(titles)
    assert await dashboard.axe() == []


async def test_an_open_job_goes_on_over_a_restart_of_the_service(database_url: str, show: ShowDashboard) -> None:
    async with (
        running_service(database_url) as worker,
        running_relay(worker.url) as relay,
        restarts(database_url, relay) as api,
    ):
        job_id = (await worker.submit("tell-at-gates", {"name": "restart", "steps": 2}))["jobId"]
        await has_entered("restart-1").wait()
        dashboard = show(ServiceClient(relay.url, database_url, worker.client))
        await dashboard.open(f"/ui/jobs/{job_id}")
        await dashboard.shows("live", "Attempt 1 started.")
        await api.stop()
        await dashboard.shows("reconnecting")
        gate("restart-1").set()
        await has_entered("restart-1:told").wait()
        await api.start()
        await dashboard.shows("live", "Progress 1 %: step 1")
        gate("restart-2").set()
        await dashboard.shows("Completed.", "(2 reports)")
        await dashboard.shows_no("The service cannot be reached.")
        await dashboard.browser.open("about:blank")  # before the relay ends
        assert [line for line in await dashboard.console_errors() if "net::ERR" not in line] == []


async def test_the_list_says_that_the_service_is_away_and_recovers(database_url: str, show: ShowDashboard) -> None:
    async with (
        running_service(database_url) as worker,
        running_relay(worker.url) as relay,
        restarts(database_url, relay) as api,
    ):
        dashboard = show(ServiceClient(relay.url, database_url, worker.client))
        await dashboard.open("/ui/jobs")
        await dashboard.shows("live", "No job was submitted yet.")
        await api.stop()
        await dashboard.press("failed", exact=True)
        await dashboard.shows("The service cannot be reached.")
        await api.start()
        await dashboard.press("Try again")
        await dashboard.shows("No job matches these filters.", "live")
        await dashboard.shows_no("The service cannot be reached.")
        await dashboard.browser.open("about:blank")  # before the relay ends
        assert [line for line in await dashboard.console_errors() if "net::ERR" not in line] == []
