"""Signing in to the dashboard: by a key that nothing keeps, with the rights of that key, for as long as it is valid."""

from collections.abc import Awaitable, Callable

import pytest

from tests.dashboard.conftest import ShowDashboard
from tests.support.dashboard import Dashboard
from tests.support.keys import OWN, bearer, make_key
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
REFUSED = "401 (Unauthorized)"  # the browser notes each failed request
STORED = "return JSON.stringify([location.href, document.cookie, {...localStorage}, {...sessionStorage}])"
XSS = "<img src=x onerror=window.attacked=1>"


@pytest.fixture
async def keyed(start_service: StartService) -> Service:
    return await start_service(api_key=OWN)


@pytest.fixture
def signing(keyed: Service, show: ShowDashboard) -> Dashboard:
    return show(keyed)


async def test_an_open_service_asks_for_no_key(dashboard: Dashboard) -> None:
    await dashboard.open()
    await dashboard.shows("Overview", "default")
    assert await dashboard.count("button", "Sign out") == 0


async def test_a_person_signs_in_sees_the_linked_view_and_signs_out(signing: Dashboard) -> None:
    await signing.open("/ui/nodes?a=b")
    await signing.shows("Sign in to Duly")
    assert await signing.axe() == []
    await signing.screenshot("sign-in")
    await signing.fill("API key", "wrong-key")
    await signing.press("Sign in")
    await signing.shows("Invalid API key.")
    assert await signing.axe() == []
    assert await signing.console_errors(besides=[REFUSED]) == []
    await signing.sign_in(OWN)
    await signing.shows("slots are in use", "DULY_API_KEY")
    assert await signing.run("return location.pathname + location.search") == "/ui/nodes?a=b"
    assert OWN not in await signing.run(STORED)
    [cookie] = await signing.browser.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    await signing.open("/ui")
    await signing.shows("Nodes", "Slots in use")
    await signing.press("Sign out")
    await signing.shows("Sign in to Duly")
    assert await signing.browser.cookies() == []


async def test_a_key_that_may_only_read_sees_the_views_that_it_may_read(keyed: Service, signing: Dashboard) -> None:
    made = await make_key(keyed, "jobs:read", name=XSS)
    await signing.open("/ui")
    await signing.sign_in(made["key"])
    await signing.shows("default", XSS)
    views = await signing.run("return [...document.querySelectorAll('nav#views a')].map(one => one.innerText)")
    assert views == ["Overview", "Jobs", "Batches", "Queues", "Types", "Nodes"]
    await signing.browser.until("return document.querySelector('.uplot canvas') !== null")
    assert await signing.run("return window.attacked") is None
    assert await signing.axe() == []


async def test_a_revoked_key_ends_the_session_of_an_open_page(keyed: Service, signing: Dashboard) -> None:
    made = await make_key(keyed, "jobs:read")
    await signing.open("/ui/nodes")
    await signing.sign_in(made["key"])
    await signing.shows("slots are in use")
    assert (await keyed.client.delete(f"/api/v1/keys/{made['keyId']}", headers=bearer(OWN))).status_code == 204
    await signing.shows("The session has ended")
    await signing.sign_in(OWN)
    await signing.shows("slots are in use")
    assert await signing.console_errors(besides=[REFUSED]) == []
