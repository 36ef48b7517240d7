#!/usr/bin/env bash
# The packages uuid7 0.1.0 and uuid-v7 1.0.0 mark their ids as version 7, but begin them with 36 bits of seconds and
# fractions of a second, as an early draft did. RFC 9562 (section 5.7) begins with 48 bits of milliseconds; read so, an id
# of 2026 is one of the year 2203. uuid-utils 1.2.0 writes the time of the RFC.
# Seen: 177 years ahead for both; 0 for uuid-utils.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uuid7==0.1.0 uuid-v7==1.0.0 uuid-utils==1.2.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import time

import uuid_extensions
import uuid_utils
from uuid_v7 import base as uuid_v7

YEAR = 365.25 * 24 * 3600


def years_ahead(made):
    """Years from now to the time in the first 48 bits of an id of version 7."""
    assert made.version == 7
    return ((made.int >> 80) / 1000 - time.time()) / YEAR


found = {
    "uuid7": years_ahead(uuid_extensions.uuid7()),
    "uuid-v7": years_ahead(uuid_v7.uuid7()),
    "uuid-utils": years_ahead(uuid_utils.uuid7()),
}
for package, years in found.items():
    print(f"{package}: {years:.0f} years ahead")
sys.exit(not (found["uuid7"] > 150 and found["uuid-v7"] > 150 and abs(found["uuid-utils"]) < 0.001))
PYTHON
