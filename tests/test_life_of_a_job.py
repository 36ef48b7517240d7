"""The whole life of a job, as a client sees it: the test to read first."""

import asyncio
import json

from tests.support.job_stream import read_stream
from tests.support.service import Service
from tests.support.webhook_receiver import Receiver

REPORT = {"type": "progress", "parameters": {"steps": 2}}


async def test_a_job_is_accepted_run_streamed_and_reported(service: Service, receiver: Receiver) -> None:
    # A client submits a job and is answered as soon as it is durable.
    answer = await service.client.post(
        "/api/v1/jobs", json=REPORT | {"callbackUrl": receiver.url, "callbackSecret": "It's a Secret to Everybody"}
    )
    assert answer.status_code == 202
    job_id = answer.json()["jobId"]
    assert answer.headers["Location"] == f"/api/v1/jobs/{job_id}"
    assert answer.json()["status"] == "pending"

    # The client follows the job's stream, which has its whole history and ends with the job.
    frames = await read_stream(service, job_id)
    assert [frame["type"] for frame in frames] == [
        "job_submitted",
        "job_started",
        "job_progress",
        "job_progress",
        "job_completed",
    ]
    assert [frame["sequence"] for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[2] | {"at": None} == {
        "type": "job_progress",
        "jobId": job_id,
        "sequence": 2,
        "progress": 10,
        "message": "step 1",
        "at": None,
    }

    # It reads the job: the same sequence, the result, the times.
    view = await service.job(job_id)
    assert (view["status"], view["sequence"], view["result"], view["progress"]) == ("completed", 4, "done", 100)
    assert view["createdAt"] <= view["startedAt"] <= view["completedAt"]

    # It is called back, once, with a signed webhook that says the same.
    async with asyncio.timeout(60):
        delivery = await receiver.next()
    delivery.verify("It's a Secret to Everybody")
    told = json.loads(delivery.body)
    assert (told["type"], told["jobId"], told["sequence"], told["result"]) == ("job.completed", job_id, 4, "done")

    # And the history stays, as domain events.
    events = await service.events(job_id)
    assert [event["eventType"] for event in events] == [
        "JobSubmitted",
        "JobStarted",
        "JobProgressed",
        "JobProgressed",
        "JobCompleted",
    ]
    assert delivery.headers["webhook-id"] == events[-1]["eventId"]
