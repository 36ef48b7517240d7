"""Python clients: submit jobs, wait for them, follow their streams, and verify webhooks.

with Client("http://127.0.0.1:8000") as client:
    job = client.submit("report-generation", {"startDate": "2015-01-01", "endDate": "2015-12-31"})
    print(client.wait(job["jobId"])["result"])
"""

from typing import TYPE_CHECKING

from duly.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from duly.client.client import AsyncClient, Client
    from duly.client.default_url import DEFAULT_URL
    from duly.client.errors import (
        ApiError,
        ClientError,
        Conflict,
        InvalidRequest,
        JobNotCompleted,
        NotAllowed,
        NotAuthenticated,
        NotFound,
        TooManyRequests,
        Unavailable,
        Unreachable,
    )
    from duly.client.filters import JobFilters, StreamFilters
    from duly.client.submission import JobRequest
    from duly.client.waiting import ENDED
    from duly.client.webhooks import WebhookEvent, verify_webhook
    from duly.handlers.submit_options import SubmitOptions
    from duly.webhooks.signature import SignatureError, verify_hex, verify_standard
else:
    __getattr__ = lazy_exports(
        __name__,
        {
            "duly.client.client": ("AsyncClient", "Client"),
            "duly.client.default_url": ("DEFAULT_URL",),
            "duly.client.errors": (
                "ApiError",
                "ClientError",
                "Conflict",
                "InvalidRequest",
                "JobNotCompleted",
                "NotAllowed",
                "NotAuthenticated",
                "NotFound",
                "TooManyRequests",
                "Unavailable",
                "Unreachable",
            ),
            "duly.client.filters": ("JobFilters", "StreamFilters"),
            "duly.client.submission": ("JobRequest",),
            "duly.client.waiting": ("ENDED",),
            "duly.client.webhooks": ("WebhookEvent", "verify_webhook"),
            "duly.handlers.submit_options": ("SubmitOptions",),
            "duly.webhooks.signature": ("SignatureError", "verify_hex", "verify_standard"),
        },
    )

__all__ = [
    "DEFAULT_URL",
    "ENDED",
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "InvalidRequest",
    "JobFilters",
    "JobNotCompleted",
    "JobRequest",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "SignatureError",
    "StreamFilters",
    "SubmitOptions",
    "TooManyRequests",
    "Unavailable",
    "Unreachable",
    "WebhookEvent",
    "verify_hex",
    "verify_standard",
    "verify_webhook",
]
