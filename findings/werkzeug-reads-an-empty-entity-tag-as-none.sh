#!/usr/bin/env bash
# An entity tag may be empty: `""` (RFC 9110, section 8.8.3). Werkzeug 3.1.9 reads it as the object None, which no tag
# is equal to, the empty one included, and writes it again as the tag "None".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check werkzeug==3.1.9
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from werkzeug.http import parse_etags

read = parse_etags('"", W/"b"')
seen = (read.as_set(), read.contains(""), sorted(read.to_header().split(", ")))
print(f"werkzeug {version('werkzeug')}: the tags \"\", W/\"b\" are read as {read.as_set(include_weak=True)}", end=" ")
print(f"and written as {read.to_header()}; the empty tag is among them: {read.contains('')}")
sys.exit(seen != ({None}, False, ['"None"', 'W/"b"']))
PYTHON
