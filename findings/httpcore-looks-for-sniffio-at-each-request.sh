#!/usr/bin/env bash
# httpcore 1.0.9 asks sniffio which asynchronous library runs, at several points of each request. anyio 4.16 does not
# depend on sniffio any more, so an installation of httpx lacks it, and each of these points is an import that fails:
# a search of the whole path, since Python does not remember modules that it did not find.
# Seen: 100 requests over one connection, some hundred searches for sniffio.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 httpcore==1.0.9 anyio==4.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import importlib.util
import sys

import httpx

REQUESTS = 100


class Counting:
    """Sees each search for a module that is not loaded."""

    searches = 0

    def find_spec(self, name, path=None, target=None):
        self.searches += name == "sniffio"


async def answer(reader, writer):
    while await reader.readline():
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with httpx.AsyncClient() as client:
        await client.get(url)
        sys.meta_path.insert(0, counting := Counting())
        for _ in range(REQUESTS):
            await client.get(url)
    server.close()
    await asyncio.sleep(0.1)  # the server's side of the connection sees its end
    return counting.searches


assert importlib.util.find_spec("sniffio") is None, "sniffio is installed with httpx again"
searches = asyncio.run(main())
print(f"{REQUESTS} requests, {searches} searches for sniffio")
sys.exit(searches < REQUESTS)
PYTHON
