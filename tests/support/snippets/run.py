"""Runner: `run.py SNIPPET secrets|jwks` passes webhooks on standard input to the snippet and prints its verdicts."""

import json
import runpy
import sys
from base64 import b64decode

NAMES = ("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature")

verify_webhook = runpy.run_path(sys.argv[1])["verify_webhook"]
for line in sys.stdin:
    fields = [b64decode(field) for field in line.rstrip("\n").split("\t")]
    headers = {name: field.decode() for name, field in zip(NAMES, fields, strict=False) if field}
    keys = [field.decode() for field in fields[4:]]
    try:
        verify_webhook(headers, fields[3], json.loads(keys[0]) if sys.argv[2] == "jwks" else keys)
    except ValueError as error:
        print("refused", error)  # noqa: T201
    else:
        print("accepted")  # noqa: T201
