"""Requests and responses that proxies change on the way: HEAD, ETags of what they compress, offers to upgrade."""

import asyncio

from tests.support.proxied_service import Site
from tests.support.service import BOUND_SECONDS

H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAA"}


async def test_a_job_that_the_client_has_is_304_compressed_or_not(site: Site) -> None:
    job_id = (await site.run("echo", "x" * 100))["jobId"]  # the service itself compresses from 1 KiB
    for coding in ("identity", "gzip"):
        asked = {"Accept-Encoding": coding}
        first = await site.client.get(f"/api/v1/jobs/{job_id}", headers=asked)
        known = asked | {"If-None-Match": first.headers["etag"]}
        again = await site.client.get(f"/api/v1/jobs/{job_id}", headers=known)
        assert (again.status_code, again.content) == (304, b""), (coding, first.headers)
    compresses = site.proxy.kind.name != "lighttpd"  # its mod_deflate is a package of its own
    assert first.headers.get("content-encoding") == ("gzip" if compresses else None)


async def test_head_is_answered_as_get_without_a_body(site: Site) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        for path in ("/healthz", "/readyz", "/openapi.json", "/api/v1/jobs"):
            answer = await site.client.head(path)
            assert (answer.status_code, answer.content) == (200, b""), path
            assert (await site.client.get(path)).status_code == 200, path  # nothing is left on the connection


async def test_an_offer_of_another_protocol_is_ignored(site: Site) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        for _ in range(2):
            answer = await site.client.post("/api/v1/jobs", json={"type": "echo"}, headers=H2C)
            assert answer.status_code == 202, answer.text
