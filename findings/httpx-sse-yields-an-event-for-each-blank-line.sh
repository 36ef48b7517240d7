#!/usr/bin/env bash
# httpx-sse 0.4.3 yields an event without data for each blank line, once an id was sent: a comment with its blank line,
# which many services send to keep a connection open, is such a one, and `sse.json()` fails on it. By the standard (HTML,
# 9.2.6) a block without data is no event. It also keeps a byte order mark at the start of a stream, which the
# standard drops, so that the first field is lost.
# Seen: two events where the stream holds one; none where the stream begins with a byte order mark.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 httpx-sse==0.4.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import httpx
from httpx_sse import EventSource

HEADERS = {"Content-Type": "text/event-stream"}


def events(text):
    return [sse.data for sse in EventSource(httpx.Response(200, headers=HEADERS, content=text.encode())).iter_sse()]


after_a_comment = events("id: 1\ndata: {}\n\n: keep-alive\n\n")
after_a_mark = events("\ufeffdata: {}\n\n")
print(f"one event and a comment: {after_a_comment}; one event after a byte order mark: {after_a_mark}")
sys.exit((after_a_comment, after_a_mark) != (["{}", ""], []))
PYTHON
