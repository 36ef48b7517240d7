#!/usr/bin/env bash
# asyncpg 0.32.0 returns values of the type uuid as a class of its own, a subclass of uuid.UUID that calls itself UUID.
# orjson 3.13.0 writes uuid.UUID and, unlike subclasses of str, int, dict and list, refuses subclasses of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check asyncpg==0.32.0 orjson==3.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version
from uuid import UUID

import orjson
from asyncpg.pgproto.pgproto import UUID as ReturnedUUID


class Text(str):
    pass


def written(value):
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        return str(error)


plain = UUID("019a22eb-a9a5-7215-af2d-f83a6cfb00f7")
returned = ReturnedUUID(plain.bytes)
print(f"asyncpg {version('asyncpg')}, orjson {version('orjson')}: equal to uuid.UUID: {returned == plain}", end=", ")
print(f"an instance of it: {isinstance(returned, UUID)}, repr {returned!r}")
print(f"uuid.UUID: {written(plain)}; of asyncpg: {written(returned)}; a subclass of str: {written(Text('a'))}")
as_seen = returned == plain and isinstance(returned, UUID) and written(plain) == f'"{plain}"'
refused = written(returned).startswith("Type is not JSON serializable") and written(Text("a")) == '"a"'
sys.exit(not (as_seen and refused))
PYTHON
