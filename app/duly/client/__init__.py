"""Python client: submit jobs, wait for them, follow their streams, and verify webhooks.

with Client("http://127.0.0.1:8000") as client:
    job = client.submit("report-generation", {"startDate": "2015-01-01", "endDate": "2015-12-31"})
    print(client.wait(job["jobId"])["result"])
"""

from duly.client.client import DEFAULT_URL, ENDED, Client, SubmitOptions
from duly.client.errors import ApiError, ClientError, Unreachable
from duly.client.webhooks import WebhookEvent, verify_webhook
from duly.webhooks.signature import SignatureError, verify_hex, verify_standard

__all__ = [
    "DEFAULT_URL",
    "ENDED",
    "ApiError",
    "Client",
    "ClientError",
    "SignatureError",
    "SubmitOptions",
    "Unreachable",
    "WebhookEvent",
    "verify_hex",
    "verify_standard",
    "verify_webhook",
]
