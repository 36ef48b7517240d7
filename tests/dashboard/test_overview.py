"""The overview: figures of now and of the last hour, what holds jobs back, nodes; live, and over a restart."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.dashboard.conftest import ShowDashboard
from tests.support.browser import Relay, running_relay
from tests.support.dashboard import Dashboard
from tests.support.restarts import restarts
from tests.support.service import Service, ServiceClient, eventually

FIGURE = """
const [label, text] = arguments
const figure = [...document.querySelectorAll('.stat')].find(one => one.querySelector('dt').innerText === label)
return figure !== undefined && figure.innerText.replace(/\\s+/g, ' ').includes(text)
"""


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    async with running_relay("") as running:
        yield running


async def until_figure(dashboard: Dashboard, label: str, text: str) -> None:
    """Waits until a figure of the overview has this text."""
    await dashboard.browser.until(FIGURE, label, text)


async def test_it_shows_jobs_that_wait_and_that_ended_as_they_come(contract: Service, dashboard: Dashboard) -> None:
    await dashboard.open()
    await dashboard.browser.until("return document.querySelectorAll('.uplot canvas').length === 7")
    await contract.client.post("/api/v1/queues/mail/pause")
    for _ in range(3):
        await contract.submit("echo", queue="mail")
    await contract.run("fail")
    await until_figure(dashboard, "Waiting", "Waiting 3")
    await until_figure(dashboard, "Failed", "Failed 1 last hour")
    await dashboard.shows("Queue mail is paused since", "3 jobs wait.")
    await dashboard.screenshot("overview")
    assert await dashboard.axe() == []
    await contract.client.post("/api/v1/queues/mail/resume")
    await dashboard.shows("Nothing holds jobs back.")
    await until_figure(dashboard, "Waiting", "Waiting 0")


async def test_the_range_and_the_queue_of_the_plots_are_in_the_address(contract: Service, dashboard: Dashboard) -> None:
    await contract.run("echo", queue="reports/eu")
    await dashboard.open()
    await dashboard.press("24 h")
    await dashboard.shows("last 24 h")
    await dashboard.fill("Plots of the queue", "reports/eu")
    await dashboard.browser.until("return location.search === '?range=24h&queue=reports%2Feu'")
    # Delivery attempts are counted for the tenant as a whole.
    await dashboard.browser.until("return document.querySelectorAll('.uplot canvas').length === 6")

    async def counted() -> bool:  # the node writes its figures every ten seconds
        answer = await contract.client.get("/api/v1/figures", params={"queue": "reports/eu"})
        return bool(sum(answer.json()["series"]["submitted"]) == 1)

    await eventually(counted)
    await dashboard.open("/ui?range=24h&queue=reports/eu")
    await until_figure(dashboard, "In", "1 in the last 24 h")


async def test_it_says_so_while_the_service_is_away_and_goes_on_after_a_restart(
    database_url: str, relay: Relay, show: ShowDashboard
) -> None:
    async with restarts(database_url, relay) as api:
        dashboard = show(ServiceClient(relay.url, "", httpx.AsyncClient()))
        await dashboard.open()
        await dashboard.shows("ready")
        await api.stop()
        await dashboard.shows("The service cannot be reached.")
        await dashboard.shows("ready")  # what was read last is still shown
        await api.start()
        await dashboard.shows_no("The service cannot be reached.")
        assert await dashboard.console_errors(besides=["net::ERR_", "503"]) == []
