"""Three orders: one without trouble, one that is held, repaired and retried from a step, and one that is cancelled."""

import json
import time
from typing import Any

from duly.client import Client
from service_template import forge

SECONDS = 300
PEOPLE = ["ada", "grace", "linus"]


def run(client: Client) -> int:
    """Prints what happens. Returns the exit code: 1 if a service is not as it was ordered."""
    (forge.folder() / "directory.json").write_text(json.dumps(PEOPLE), encoding="utf-8")
    zones = submit(client, {"name": "zones", "settings": {"port": 8101}, "members": ["ada", "grace"]})
    clocks = submit(client, {"name": "clocks", "members": ["ada", "mallory"]})
    drafts = submit(client, {"name": "drafts", "members": ["linus"]})
    first = client.wait(zones, timeout=SECONDS)
    show(client, "zones", zones)
    until_held(client, clocks)
    show(client, "clocks", clocks)
    print(f"  {client.why(clocks)['message']}")

    fix = repair()
    print(f"The developer has added the port, commit {fix[:12]}. Retrying from the step ci.")
    client.retry(clocks, from_step="ci")
    second = client.wait(clocks, timeout=SECONDS)
    show(client, "clocks", clocks)
    print("The developers of drafts have changed their minds. Cancelling the held job.")
    until_held(client, drafts)
    client.cancel(drafts)
    third = client.wait(drafts, timeout=SECONDS)
    show(client, "drafts", drafts)
    faults = [f"drafts is {third['status']}"] * (third["status"] != "cancelled")
    faults += [f"{path} was left of drafts" for path in forge.left_of("drafts")]
    faults += verify("zones", first, skipped=[]) + verify("clocks", second, skipped=["members"], commit=fix)
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


def submit(client: Client, order: dict[str, Any]) -> str:
    """Orders a service. The unique key keeps its name from being ordered twice at the same time."""
    return client.submit("create-service", order, unique_key=f"service {order['name']}")["jobId"]


def until_held(client: Client, job_id: str) -> None:
    deadline = time.monotonic() + SECONDS
    while client.get(job_id)["waitingFor"] != "held":
        if time.monotonic() > deadline:
            raise SystemExit(f"FAULT: job {job_id} was not held within {SECONDS} seconds")
        time.sleep(0.05)


def show(client: Client, name: str, job_id: str) -> None:
    """Prints the state of a job and its steps."""
    job = client.get(job_id)
    print(f"{name}: {job['status']}{', held' if job['waitingFor'] == 'held' else ''}")
    for step in client.steps(job_id):
        reason = step["result"].get("skipped")
        print(f"  {step['name']}: {f'skipped: {reason}' if reason else step['status']}, tries: {step['attempts']}")
    if job["error"]:
        print(f"  {job['error']['message']}")


def repair() -> str:
    """Adds the missing port, as a developer does. Returns the commit."""
    with forge.checkout(forge.folder() / "repositories" / "clocks.git") as work:
        (work / "settings.json").write_text(json.dumps({"port": 8102}), encoding="utf-8")
        return forge.commit_all(work, "Add the port")


def verify(name: str, job: Any, *, skipped: list[str], commit: str | None = None) -> list[str]:
    """Asks the deployed artifact itself. Returns what is wrong with a service."""
    if job["status"] != "completed":
        return [f"{name} is {job['status']}: {job['error']}"]
    service, faults = job["result"], []
    if [step for step in ("members", "logging") if service[step]["skipped"]] != skipped:
        faults.append(f"{name}: other steps than {skipped} were skipped")
    if service["deployment"]["commit"] != (commit or service["repository"]["commit"]):
        faults.append(f"{name}: the deployed commit is {service['deployment']['commit']}")
    if service["build"]["tests"] != 2:
        faults.append(f"{name}: CI ran {service['build']['tests']} tests")
    answer = forge.ask(name)
    print(f"The deployed {name} answers: {json.dumps(answer)}")
    return faults + [f"{name} answers as {answer['service']}"] * (answer["service"] != name)
