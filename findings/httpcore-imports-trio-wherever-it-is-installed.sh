#!/usr/bin/env bash
# httpcore 1.0.9 imports trio as soon as it is imported itself, where trio is installed, also in programs that run on
# asyncio or use no asynchronous code at all. Some packages bring trio along, Selenium 4.51 among them.
# Seen: the first `httpx.Client` loads a hundred more modules and takes twice as long (82 and 167 ms, best of six).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
"${pip[@]}" httpx==0.28.1 httpcore==1.0.9 anyio==4.16.0
cat >"$folder/look.py" <<'PYTHON'
import sys
import time

began = time.perf_counter()
import httpx

httpx.Client(verify=False)  # imports httpcore; reading certificates would take longer than that
took = time.perf_counter() - began
print(f"the first client: {len(sys.modules)} modules, {1000 * took:.0f} ms, trio loaded: {'trio' in sys.modules}")
sys.exit("trio" in sys.modules)
PYTHON
# Once before, so that both find what they import compiled.
"$folder/venv/bin/python" "$folder/look.py" >/dev/null
"$folder/venv/bin/python" "$folder/look.py"
"${pip[@]}" trio==0.35.0
"$folder/venv/bin/python" "$folder/look.py" >/dev/null || true
if "$folder/venv/bin/python" "$folder/look.py"; then exit 1; fi
