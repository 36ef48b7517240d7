"""Submits a job, waits for its end and prints its result with the client that openapi-python-client generated."""

import json
import sys

from duly_api import AuthenticatedClient
from duly_api.api.jobs import get_job, list_jobs, submit_job
from duly_api.models import AcceptedBody, ErrorBody, JobBody, JobPage, JobStatus, Submission
from duly_api.types import Unset


def main(url: str, key: str) -> None:
    with AuthenticatedClient(base_url=url, token=key, timeout=None) as client:
        body = Submission(type_="echo", parameters={"rows": 3})
        submitted = submit_job.sync(client=client, body=body, idempotency_key="openapi-python-client")
        assert isinstance(submitted, AcceptedBody)
        while True:
            job = get_job.sync(submitted.job_id, client=client, wait=20)
            assert isinstance(job, JobBody)
            if job.status not in {JobStatus.PENDING, JobStatus.RUNNING}:
                break
        refused = submit_job.sync(client=client, body=Submission(type_="no-such-type"))
        assert isinstance(refused, ErrorBody)
        errors = refused.error.details.errors
        listed = list_jobs.sync(client=client, status=[JobStatus.COMPLETED], limit=1)
        assert isinstance(listed, JobPage)
    found = {
        "status": job.status,
        "result": job.result,
        "error": job.error.details.reason if job.error is not None and job.error.details is not None else None,
        "refused": refused.error.code,
        "path": errors[0].path if not isinstance(errors, Unset) else None,
        "listed": len(listed.items),
    }
    print(json.dumps(found))  # noqa: T201


main(*sys.argv[1:])
