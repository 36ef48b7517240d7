#!/usr/bin/env bash
# PyMySQL 1.2.4 leaves the socket open if a server's Unix socket refuses the connection: it closes the socket that it has
# kept, but this one is kept only once connected. The cycle of exception and traceback holds it until a collection, so a
# program that waits for its database gathers open sockets.
# Seen: after one refused connection, ResourceWarning: unclosed socket, at the next garbage collection.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pymysql==1.2.4
venv/bin/python - <<'PYTHON'
import gc
import sys
import warnings

import pymysql

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ResourceWarning)
    try:
        pymysql.connect(unix_socket="no-server-here")
    except pymysql.err.OperationalError as error:
        print(f"refused: {error.args[0]}")
    gc.collect()
print([str(warning.message).split(" fd=")[0] for warning in caught])
sys.exit(not any("unclosed <socket.socket" in str(warning.message) for warning in caught))
PYTHON
