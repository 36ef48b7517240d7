"""Orders with Duly: what the application calls. It needs an HTTP client, and none of the handlers."""

import os
from typing import Any

import httpx

API = os.environ.get("DULY_URL", "http://127.0.0.1:8000") + "/api/v1"
HEADERS = {"Authorization": f"Bearer {os.environ['DULY_API_KEY']}"} if "DULY_API_KEY" in os.environ else {}


async def submit(job_type: str, parameters: dict[str, Any], **options: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(headers=HEADERS, timeout=30) as client:
        response = await client.post(f"{API}/jobs", json={"type": job_type, "parameters": parameters, **options})
        return response.raise_for_status().json()


async def charge_order(order: str, customer: str, cents: int) -> str:
    """Submits a charge; charges of one customer run one at a time, in order."""
    options = {"queue": "payments", "concurrencyKey": f"customer:{customer}"}
    return (await submit("charge", {"order": order, "cents": cents}, **options))["jobId"]


async def index_later(shop: str) -> str:
    """Submits a rebuild in 30 seconds; while one is unfinished, the same job is returned."""
    options = {"queue": "maintenance", "uniqueKey": f"index:{shop}", "delaySeconds": 30}
    return (await submit("rebuild-index", {"shop": shop}, **options))["jobId"]


async def close_every_day() -> None:
    """Creates the schedule once; 409 means that it exists."""
    schedule = {"name": "close-day", "cron": "0 3 * * *", "overlap": "skip", "submission": {"type": "close-day"}}
    async with httpx.AsyncClient(headers=HEADERS, timeout=30) as client:
        response = await client.post(f"{API}/schedules", json=schedule)
        if response.status_code != httpx.codes.CONFLICT:
            response.raise_for_status()
