#!/usr/bin/env bash
# aiohttp-retry 2.9.1 repeats a request after a 429 or 503 at times of its own choice and never reads `Retry-After`.
# urllib3 2.8.0 under requests 2.34.2, and httpx-retries 0.6.0, wait as long as the response says.
# Seen, with `Retry-After: 2` and a backoff that begins at 0.1 s: aiohttp-retry repeats after 0.1 s, the others after 2 s.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    aiohttp-retry==2.9.1 aiohttp==3.14.5 requests==2.34.2 urllib3==2.8.0 httpx-retries==0.6.0 httpx==0.28.1
timeout 120 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import requests
from aiohttp_retry import ExponentialRetry, RetryClient
from httpx_retries import Retry as HttpxRetry
from httpx_retries import RetryTransport
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry


class Busy(BaseHTTPRequestHandler):
    """Refuses the first request of each path for two seconds."""

    came: dict[str, list[float]] = {}

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        times = self.came.setdefault(self.path, [])
        times.append(time.monotonic())
        self.send_response(429 if len(times) == 1 else 202)
        if len(times) == 1:
            self.send_header("Retry-After", "2")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{server.server_port}"


async def post_with_aiohttp():
    options = ExponentialRetry(attempts=3, start_timeout=0.1, statuses={429})
    async with RetryClient(retry_options=options) as client, client.post(f"{URL}/aiohttp-retry", json={}) as response:
        assert response.status == 202


asyncio.run(post_with_aiohttp())
with requests.Session() as session:
    policy = Retry(3, status_forcelist=[429], allowed_methods=["POST"], backoff_factor=0.1)
    session.mount("http://", HTTPAdapter(max_retries=policy))
    assert session.post(f"{URL}/urllib3", json={}).status_code == 202
policy = HttpxRetry(total=3, allowed_methods=["POST"], backoff_factor=0.1)
with httpx.Client(transport=RetryTransport(retry=policy)) as client:
    assert client.post(f"{URL}/httpx-retries", json={}).status_code == 202
waited = {path.lstrip("/"): later - first for path, (first, later) in Busy.came.items()}
for name, seconds in waited.items():
    print(f"{name}: repeated after {seconds:.1f} s")
sys.exit(not (waited["aiohttp-retry"] < 2 and waited["urllib3"] >= 2 and waited["httpx-retries"] >= 2))
PYTHON
