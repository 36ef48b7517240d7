"""The dashboard's foundation: addresses, navigation, themes, phones, keyboards, screen readers, and its size."""

from collections.abc import Awaitable, Callable

import pytest

from tests.dashboard.conftest import ShowDashboard
from tests.support.dashboard import PHONE, Dashboard
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
VIEWS = ["Overview", "Jobs", "Batches", "Queues", "Types", "Schedules", "Endpoints", "Nodes", "Audit", "Keys"]
LARGEST_FIRST_LOAD = 300_000
# Files and data of the page, whole: what a browser would transfer without compression.
LOADED = """
return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .map(one => [one.name, one.decodedBodySize])
"""


async def test_every_view_opens_from_its_link_and_has_the_focus_on_its_heading(dashboard: Dashboard) -> None:
    await dashboard.open()
    for name in VIEWS[1:]:
        await dashboard.press(name, role="link", exact=True)
        await dashboard.browser.until(
            "return document.activeElement === document.querySelector('main h1')"
            " && document.querySelector('nav a[aria-current]').innerText === arguments[0]",
            name,
        )
        assert (await dashboard.run("return document.title")).endswith(" · Duly")
    await dashboard.run("history.back()")
    await dashboard.browser.until("return document.querySelector('nav a[aria-current]').innerText === 'Audit'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_clean_by_the_rules_of_accessibility_and_fits_a_phone(
    dashboard: Dashboard, scheme: str
) -> None:
    await dashboard.scheme(scheme)
    for name in VIEWS:
        await dashboard.open("/ui" if name == "Overview" else f"/ui/{name.lower()}")
        await dashboard.shows_no("Loading…")
        assert await dashboard.axe() == [], name
        await dashboard.screenshot(f"{name.lower()}-empty-{scheme}")
        await dashboard.resize(*PHONE)
        assert await dashboard.too_wide() == [], name
        await dashboard.resize(1280, 900)


async def test_the_first_load_is_small_and_comes_from_the_service_alone(dashboard: Dashboard) -> None:
    await dashboard.open()
    await dashboard.shows("Nodes", "Slots in use")
    await dashboard.browser.until("return document.querySelector('.uplot canvas') !== null")
    loaded = await dashboard.run(LOADED)
    assert {name.startswith(dashboard.service.url) for name, _ in loaded} == {True}
    assert len(loaded) > 15
    assert sum(size for _, size in loaded) < LARGEST_FIRST_LOAD, sorted(loaded, key=lambda one: -one[1])[:8]


async def test_the_theme_is_that_of_the_system_until_a_person_chooses_one(dashboard: Dashboard) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    await dashboard.scheme("light")
    await dashboard.open("/ui/nodes")
    light = await dashboard.run(ground)
    await dashboard.scheme("dark")
    await dashboard.browser.until(f"{ground} !== arguments[0]", light)
    await dashboard.press("Dark")
    await dashboard.browser.until(f"{ground} === arguments[0]", light)
    await dashboard.open("/ui/nodes")
    assert await dashboard.run(ground) == light


async def test_the_keyboard_alone_reaches_the_content_and_a_view(dashboard: Dashboard) -> None:
    await dashboard.open()
    await dashboard.browser.press("TAB")
    assert await dashboard.run("return document.activeElement.innerText") == "Skip to content"
    await dashboard.browser.press("ENTER")
    await dashboard.browser.until("return document.activeElement.id === 'main'")
    await dashboard.open()
    for _ in range(4):  # past the link to the content, the name and the overview
        await dashboard.browser.press("TAB")
    assert await dashboard.run("return document.activeElement.innerText") == "Jobs"
    assert await dashboard.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await dashboard.browser.press("ENTER")
    await dashboard.browser.until("return location.pathname === '/ui/jobs'")


async def test_a_phone_has_the_views_behind_a_button(dashboard: Dashboard) -> None:
    await dashboard.resize(*PHONE)
    await dashboard.open()
    assert await dashboard.count("link", "Batches") == 0
    await dashboard.press("Menu")
    await dashboard.browser.until("return document.querySelector('[aria-expanded]').ariaExpanded === 'true'")
    assert await dashboard.axe() == []
    await dashboard.follow("Batches")
    await dashboard.browser.until("return location.pathname === '/ui/batches'")
    assert await dashboard.count("link", "Queues") == 0


async def test_a_page_that_cannot_read_its_session_tries_again_by_itself(dashboard: Dashboard) -> None:
    await dashboard.browser.devtools("Network.enable")
    await dashboard.browser.devtools("Network.setBlockedURLs", urls=["*/ui/session"])
    try:
        await dashboard.open()
        await dashboard.shows("The service cannot be reached.")
    finally:
        await dashboard.browser.devtools("Network.setBlockedURLs", urls=[])
    await dashboard.shows("Overview", "Slots in use")
    assert await dashboard.console_errors(besides=["/ui/session"]) == []


async def test_an_address_without_a_view_says_so(dashboard: Dashboard) -> None:
    for path in ("/ui/nothing", "/ui/jobs/1/2/3", "/ui/%3Cscript%3E", "/ui/%E0%A4%A"):
        await dashboard.open(path)
        await dashboard.shows("There is no view at this address.")
    await dashboard.follow("Go to the overview.")
    await dashboard.shows("Nodes")


async def test_the_dashboard_works_behind_a_path_prefix(start_service: StartService, show: ShowDashboard) -> None:
    dashboard = show(await start_service(root_path="/duly"))
    await dashboard.open("/duly/ui")
    await dashboard.shows("Slots in use")
    assert await dashboard.run("return document.querySelector('nav a:nth-child(2)').pathname") == "/duly/ui/jobs"
    await dashboard.press("Nodes", role="link", exact=True)
    await dashboard.shows("slots are in use")
    assert await dashboard.run("return location.pathname") == "/duly/ui/nodes"


async def test_the_page_of_the_api_works_without_another_host(dashboard: Dashboard) -> None:
    await dashboard.browser.open(f"{dashboard.service.url}/docs")
    await dashboard.shows("Submit a job", "/api/v1/jobs/batch")
    await dashboard.press("Check liveness")
    await dashboard.press("Try it out")
    await dashboard.press("Execute")
    await dashboard.shows('"status": "up"')
    hosts = await dashboard.run(f"{LOADED.strip()}.map(([name]) => new URL(name).origin)")
    assert set(hosts) == {dashboard.service.url}
