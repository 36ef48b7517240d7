#!/usr/bin/env bash
# standardwebhooks 1.1.0 (PyPI) replaces the time zone of the time to sign instead of converting it: for an aware time at
# +02:00 it signs a timestamp two hours later, and `verify` of the same package refuses the webhook with the true timestamp.
# Seen: the signature of 12:00+02:00 is that of 12:00 UTC, not that of 10:00 UTC, the same instant.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check standardwebhooks==1.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import datetime, timedelta, timezone

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(b"0123456789abcdef0123456789abcdef")
aware = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
in_utc = aware.astimezone(timezone.utc)
signature = webhook.sign("msg_1", aware, "{}")
as_the_instant = signature == webhook.sign("msg_1", in_utc, "{}")
as_the_clock_face = signature == webhook.sign("msg_1", aware.replace(tzinfo=timezone.utc), "{}")

now = datetime.now(timezone(timedelta(hours=2)))
headers = {
    "webhook-id": "msg_1",
    "webhook-timestamp": str(int(now.timestamp())),
    "webhook-signature": webhook.sign("msg_1", now, "{}"),
}
try:
    webhook.verify("{}", headers)
    verified = True
except WebhookVerificationError:
    verified = False
print(f"signs the instant: {as_the_instant}; signs the clock face: {as_the_clock_face}; verifies: {verified}")
sys.exit((as_the_instant, as_the_clock_face, verified) != (False, True, False))
PYTHON
