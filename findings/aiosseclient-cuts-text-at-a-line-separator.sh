#!/usr/bin/env bash
# aiosseclient 0.1.8 ends a line at each character that Python's `splitlines` splits at. In a stream of events only CR and
# LF end a line (HTML, 9.2.6), and JSON may hold U+2028 unescaped (RFC 8259): the client yields the text up to
# the separator, and drops the rest with a warning.
# Seen: the data of the event is `{"note":"first`, which is no JSON.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5 aiosseclient==0.1.8
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import sys

from aiohttp import web
from aiosseclient import aiosseclient

STREAM = 'id: 1\ndata: {"note":"first\u2028second"}\n\n'


async def stream(_request):
    return web.Response(text=STREAM, content_type="text/event-stream")


async def events():
    app = web.Application()
    app.router.add_get("/", stream)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(host, port)] = runner.addresses
    yielded = []
    async for event in aiosseclient(f"http://{host}:{port}/"):
        yielded.append(event.data)
    await runner.cleanup()
    return yielded


yielded = asyncio.run(events())
print(yielded)
sys.exit(yielded != ['{"note":"first'])
PYTHON
