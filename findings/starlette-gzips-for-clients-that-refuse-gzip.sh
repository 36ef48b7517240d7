#!/usr/bin/env bash
# The GZipMiddleware of Starlette 1.10.0 looks for the letters "gzip" in Accept-Encoding instead of reading the list. A
# client that refuses gzip by the weight 0 (RFC 9110, section 12.4.2) gets it; one that names it in a second line of the
# header, takes it by `*`, or writes it in capitals does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check starlette==1.10.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import sys

import starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse

SEEN = {
    ("gzip",): "gzip",
    ("gzip;q=0",): "gzip",
    ("identity, gzip;q=0",): "gzip",
    ("br", "gzip"): None,
    ("*",): None,
    ("GZIP",): None,
}


async def coding_for(lines):
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"accept-encoding", line.encode()) for line in lines]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    await GZipMiddleware(PlainTextResponse("x" * 5000))(scope, None, send)
    return dict(sent[0]["headers"]).get(b"content-encoding", b"").decode() or None


seen = {lines: asyncio.run(coding_for(lines)) for lines in SEEN}
for lines, coding in seen.items():
    print(f"starlette {starlette.__version__}: Accept-Encoding {' | '.join(lines)} gets {coding or 'identity'}")
sys.exit(seen != SEEN)
PYTHON
