#!/usr/bin/env bash
# cronsim 2.8 reads a step after a range of one value as a step after that value: `5-5/6` is 5, 11, 17 … to the end of the
# field, where a step after the range 5-6 stays in it. After a single day of the week a step goes up to 7, which is Sunday
# again: `1/2` is Monday, Wednesday, Friday and Sunday, where `1-6/2` has no Sunday. A step that is larger than its field is
# taken without a word: `*/90` is minute 0 alone.
# Seen: minutes 5, 11, 17, 23, 29, 35, 41, 47, 53, 59; days 0, 1, 3, 5; minute 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cronsim==2.8
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import datetime
from itertools import islice

from cronsim import CronSim

START = datetime(2026, 1, 1)


def minutes(expression):
    """The minutes of the hour at which it is due."""
    return sorted({due.minute for due in islice(CronSim(expression, START), 60)})


def days(expression):
    """The days of the week on which it is due, from Sunday, 0."""
    return sorted({due.isoweekday() % 7 for due in islice(CronSim(expression, START), 14)})


found = (minutes("5-5/6 * * * *"), minutes("5-6/6 * * * *"), days("0 0 * * 1/2"), days("0 0 * * 1-6/2"), minutes("*/90 * * * *"))
for expression, values in zip(("5-5/6", "5-6/6", "1/2 (days)", "1-6/2 (days)", "*/90"), found, strict=True):
    print(f"{expression}: {values}")
sys.exit(found != (list(range(5, 60, 6)), [5], [0, 1, 3, 5], [1, 3, 5], [0]))
PYTHON
