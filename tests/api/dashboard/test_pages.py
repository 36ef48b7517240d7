"""Pages and files of the dashboard: the same page for each address, and files that browsers keep."""

import gzip
import re

import pytest

from duly.api.dashboard.assets import STATIC, dashboard_assets
from tests.support.response_checks import refused
from tests.support.service import Service

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_is_sent_from_the_root_to_the_dashboard_and_a_program_gets_its_addresses(
    contract: Service,
) -> None:
    answer = await contract.client.get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (307, "/ui")
    answer = await contract.client.get("/")
    assert answer.json() == {
        "name": "Duly",
        "api": "/api/v1",
        "dashboard": "/ui",
        "documentation": "/docs",
        "openapi": "/openapi.json",
    }
    for path in answer.json().values():
        if path.startswith("/") and path != "/api/v1":
            assert (await contract.client.get(path)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/ui/", "/ui/jobs", "/ui/schedules/nightly.v2", "/ui/nothing/here/at/all", "/ui/%3Cb%3E"]
)
async def test_every_address_of_a_view_answers_the_same_page(contract: Service, path: str) -> None:
    page = await contract.client.get("/ui")
    answer = await contract.client.get(path)
    assert (answer.status_code, answer.text) == (200, page.text)
    assert answer.headers["cache-control"] == "no-cache"


async def files_of(service: Service, path: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/ui/assets/[^"]+)"', (await service.client.get(path)).text)


async def test_files_are_kept_for_a_year_and_compressed_once(contract: Service) -> None:
    files = await files_of(contract, "/ui")
    assert len(files) == 3
    for file in files:
        answer = await contract.client.get(file)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = await contract.client.get(file, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        whole = STATIC / file.split("/", 4)[4]
        assert answer.content == whole.read_bytes()
    [script] = [file for file in files if file.endswith("app.js")]
    async with contract.client.stream("GET", script, headers={"Accept-Encoding": "gzip"}) as raw:
        packed = b"".join([piece async for piece in raw.aiter_raw()])
    assert raw.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == (STATIC / "app.js").read_bytes()
    assert len(packed) < len((STATIC / "app.js").read_bytes())


async def test_a_file_of_another_release_is_not_kept(contract: Service) -> None:
    answer = await contract.client.get("/ui/assets/0000/app.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "vendor/vendored.json", "../assets.py", "..%2Fassets.py"])
async def test_only_files_for_browsers_are_served(contract: Service, name: str) -> None:
    digest = dashboard_assets().digest
    refused(await contract.client.get(f"/ui/assets/{digest}/{name}"), 404, "NOT_FOUND")


def test_no_page_loads_anything_from_elsewhere() -> None:
    own = [path for path in STATIC.rglob("*") if path.suffix in {".js", ".css", ".html"} and "vendor" not in path.parts]
    assert len(own) > 30
    for path in own:
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"http://www\.w3\.org/\S+", "", path.read_text()))
        assert found == [], path
        assert "innerHTML" not in path.read_text(), path
