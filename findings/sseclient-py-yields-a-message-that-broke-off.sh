#!/usr/bin/env bash
# sseclient-py 1.9.0 yields what it has of a message when the connection ends in the middle of it, as if the message were
# complete. By the standard (HTML, 9.2.6) a client discards a message without the blank line at its end, because
# the next connection sends it again.
# Seen: the second event is `{"state":"run`, which is no JSON; httpx-sse 0.4.3 yields the first event only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sseclient-py==1.9.0 httpx==0.28.1 httpx-sse==0.4.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import httpx
import httpx_sse
import sseclient

BROKEN_OFF = b'data: {"state":"queued"}\nid: 1\n\ndata: {"state":"run'


class Source:
    """What the client reads from: an iterator over chunks that can be closed."""

    def __iter__(self):
        yield BROKEN_OFF

    def close(self):
        pass


response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=BROKEN_OFF)
yielded = [event.data for event in sseclient.SSEClient(Source()).events()]
by_the_standard = [event.data for event in httpx_sse.EventSource(response).iter_sse()]
print(f"sseclient-py: {yielded}; httpx-sse: {by_the_standard}")
sys.exit((yielded, by_the_standard) != (['{"state":"queued"}', '{"state":"run'], ['{"state":"queued"}']))
PYTHON
