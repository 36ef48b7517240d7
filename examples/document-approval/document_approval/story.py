"""Approvals of some licences: answered, rejected, passed on to a deputy, cancelled; over a restart of the service."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator

from local_service import LocalService

from document_approval import register
from document_approval.people import answer, link_in_mail, scan
from duly.client import Client

LEGAL, SECURITY, DEPUTY = "legal@example.org", "security@example.org", "security-deputy@example.org"
APPROVERS: list[dict[str, object]] = [
    {"role": "legal", "address": LEGAL, "deputy": "legal-deputy@example.org"},
    {"role": "security", "address": SECURITY, "deputy": DEPUTY},
]
EXPECTED = {"asyncpg": "approved", "certifi": "rejected", "pydantic": "approved", "rich": "withdrawn"}
WAIT_SECONDS = 300


def run(service: LocalService, client: Client, *, patience: float) -> int:
    """Prints what happens. Returns the exit code: 1 if a decision is not what the people answered."""
    jobs = {package: submit(client, package, APPROVERS) for package in ("asyncpg", "certifi", "rich")}
    links = {(who, package): link_in_mail(who, package) for package in jobs for who in (LEGAL, SECURITY)}
    print(f"A mail scanner opened {len(links)} links: {', '.join({str(scan(link)) for link in links.values()})}.")
    show(client, jobs)
    impatient = [APPROVERS[0], APPROVERS[1] | {"patienceSeconds": patience}]
    jobs["pydantic"] = submit(client, "pydantic", impatient)
    links[LEGAL, "pydantic"] = link_in_mail(LEGAL, "pydantic")

    print("Restarting the service, as a deployment does.", flush=True)
    service.stop()
    service.start()

    for package in ("asyncpg", "certifi", "pydantic"):
        answer(links[LEGAL, package], "approve")
    answer(links[SECURITY, "asyncpg"], "approve")
    answer(links[SECURITY, "certifi"], "reject", "MPL-2.0 needs a review of our changes.")
    again = answer(links[SECURITY, "certifi"], "approve")
    print(f"Another answer by the same link: {again}.")
    answer(link_in_mail(DEPUTY, "pydantic"), "approve", "On behalf of a colleague.")
    client.cancel(jobs["rich"])
    return verify(service, client, jobs)


def submit(client: Client, package: str, approvers: list[dict[str, object]]) -> str:
    """Submits an approval. The unique key keeps a package from being asked about twice at the same time."""
    parameters = {"package": package, "approvers": approvers}
    return client.submit("approve-document", parameters, unique_key=f"approval {package}")["jobId"]


def show(client: Client, jobs: dict[str, str]) -> None:
    """Prints what each approval waits for, once it has asked everyone."""
    for package, job_id in jobs.items():
        while (job := client.get(job_id))["waitingFor"] != "signal":
            time.sleep(0.05)
        print(f"  {package}: {job['status']}, waiting for {job['waitingFor']}: {client.why(job_id)['message']}")


def verify(service: LocalService, client: Client, jobs: dict[str, str]) -> int:
    """Prints the decisions, and what differs from the answers."""
    faults = []
    for package, job_id in jobs.items():
        ended = client.wait(job_id, timeout=WAIT_SECONDS)
        state = register.state_of(job_id)
        print(f"  {package}: {state}, job {ended['status']}; {_answers(job_id)}")
        if state != EXPECTED[package]:
            faults.append(f"{package} is {state}, not {EXPECTED[package]}")
    people = Counter(answerers(service.url))
    print(f"By the audit log, {', '.join(f'{who} answered {count}' for who, count in sorted(people.items()))}.")
    if people != {LEGAL: 3, SECURITY: 2, DEPUTY: 1}:
        faults.append("the audit log differs from the answers")
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


def answerers(url: str) -> Iterator[str]:
    """Yields who has answered by a link, by the audit log."""
    with urllib.request.urlopen(f"{url}/api/v1/audit?limit=200", timeout=30) as response:
        for entry in json.load(response)["items"]:
            if entry["action"] == "signal.sent":
                yield entry["actor"].removeprefix("link:")


def _answers(job_id: str) -> str:
    given = register.answers_of(job_id)
    return (
        ", ".join(f"{role}: {choice}{f' ({comment})' if comment else ''}" for role, choice, comment in given)
        or "no answer"
    )
