"""Screenshots of the dashboard in the documentation, from demo data.

python -m tests.dashboard_screenshots   rewrites them, with Chromium; they are looked at, not compared
"""

import asyncio
from typing import Final

import httpx

from tests.support.browser import running_browser
from tests.support.dashboard import Dashboard
from tests.support.dashboard_demo import fill
from tests.support.database_pool import TestDatabases
from tests.support.forked_commands import ROOT
from tests.support.postgres_servers import embedded_18
from tests.support.service import Service, ServiceClient, running_service

FOLDER: Final = ROOT / "docs" / "operate"
LARGEST_BYTES: Final = 150_000
_HANDLERS: Final = ("tests.support.dashboard_demo",)


async def _take(service: Service) -> None:
    job_id = await fill(service)
    views = {
        "overview": ("/ui", (1280, 1000), "light", "Queue reports is paused"),
        "jobs": ("/ui/jobs", (1280, 760), "light", "mail.send"),
        "job": (f"/ui/jobs/{job_id}", (1280, 1000), "dark", "report-generation"),
        "phone": ("/ui", (390, 800), "dark", "Waiting"),
    }
    async with running_browser() as browser:
        dashboard = Dashboard(browser, ServiceClient(service.url, service.database_url, httpx.AsyncClient()), "")
        for name, (path, size, scheme, text) in views.items():
            await dashboard.forget()
            await dashboard.scheme(scheme)
            await dashboard.resize(*size)
            await dashboard.open(path)
            await dashboard.shows(text)
            await dashboard.shows_no("Loading…")
            await browser.until("return document.getAnimations().length === 0")
            picture = await browser.screenshot()
            if len(picture) > LARGEST_BYTES:
                raise ValueError(f"dashboard-{name}.png has {len(picture):,} bytes (limit: {LARGEST_BYTES:,})")
            (FOLDER / f"dashboard-{name}.png").write_bytes(picture)


async def main() -> None:
    """Takes all screenshots."""
    with embedded_18() as server:
        databases = TestDatabases(server)
        async with databases.lent() as url, running_service(url, handlers=_HANDLERS, worker_slots=20) as service:
            await _take(service)
        await databases.close()


if __name__ == "__main__":
    asyncio.run(main())
