#!/usr/bin/env bash
# cronsim 2.8 steps by whole hours of UTC. Where a clock changes by half an hour, it reaches the hour in the middle and
# misses its first half: on Lord Howe Island `*/15 3 * * *` is due only at 3:30 and 3:45 on that day. It also takes the
# first minute of a day as existing: in Cairo, where the clock goes from 23:59 to 01:00 on 24 April 2026, `*/30 0 * * FRI`
# is due on that Friday, at 00:00 by an offset that no longer holds, which is 01:00.
# Seen: 03:30, 03:45; 2026-04-24 00:00 +0200.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cronsim==2.8 tzdata==2025.2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

night = CronSim("*/15 3 * * *", datetime(2026, 10, 4, 1, 0, tzinfo=ZoneInfo("Australia/Lord_Howe")))
friday = CronSim("*/30 0 * * FRI", datetime(2026, 4, 20, tzinfo=ZoneInfo("Africa/Cairo")))
quarters = [f"{due:%H:%M}" for due in islice(night, 4) if due.day == 4]
midnight = f"{next(friday):%Y-%m-%d %H:%M %z}"
print(f"on Lord Howe Island: {quarters}; in Cairo: {midnight}")
sys.exit((quarters, midnight) != (["03:30", "03:45"], "2026-04-24 00:00 +0200"))
PYTHON
