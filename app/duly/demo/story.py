"""Steps of the demo: submit, run, stream and a signed webhook."""

import json
import queue
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from duly.cli.output import compact, error_words, progress_words
from duly.cli.watch import show, text_console
from duly.client import Client, verify_hex, verify_standard
from duly.demo import service
from duly.demo.receiver import Received, Receiver, listening
from duly.domain.safe_str import one_line

JOB_TYPE = "report-generation"
PARAMETERS = {"startDate": "2012-01-01", "endDate": "2015-12-31"}
_WEBHOOK_SECONDS = 30.0


class DemoFailed(Exception):
    """Failed step of the demo."""


def run_story(*, data_dir: Path, output: Path) -> None:
    """Runs all steps.

    Raises:
        ServiceFailed, DemoFailed, ClientError, SignatureError: a step failed.
    """
    secret = secrets.token_urlsafe(24)
    page = _Page(text_console())
    page.step("Start the service, with its own PostgreSQL", f"duly {' '.join(service.COMMAND)}")
    with listening() as receiver, service.running(data_dir=data_dir, output=output) as url, Client(url) as client:
        page.say(f"The service is ready on {url}; its data folder is {data_dir}.")
        job_id = _submit(page, client, receiver=receiver, secret=secret)
        result = _watch(page, client, job_id)
        _receive(page, receiver, secret=secret)
        _show_history(page, client, job_id)
        page.step("Stop the service")
    page.say("The service has shut down gracefully.")
    page.step("Open the report")
    page.say(f"{result['path']}\n{result['reportUrl']}\n")
    page.say("To try the curl commands, start a service: duly serve --handlers duly.demo.report")


class _Page:
    """Output of the demo: numbered steps, each with the equivalent command."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._steps = 0

    def step(self, title: str, command: str | None = None) -> None:
        self._steps += 1
        self.console.print(f"\n{self._steps}. {title}", style="bold")
        if command:
            self.console.print(_indented(command, first="$ "), style="cyan")

    def say(self, text: str) -> None:
        self.console.print(_indented(text))


def _submit(page: _Page, client: Client, *, receiver: Receiver, secret: str) -> str:
    body = {"type": JOB_TYPE, "parameters": PARAMETERS, "callbackUrl": receiver.url}
    shown = json.dumps(body | {"callbackSecret": "..."}, indent=2)
    command = f"curl -X POST {client.url}/api/v1/jobs -H 'Content-Type: application/json' -d '{shown}'"
    page.step("Submit a job", command)
    job = client.submit(JOB_TYPE, PARAMETERS, callback_url=receiver.url, callback_secret=secret)
    page.say(f"202 Accepted: job {job['jobId']} was durable before the response was sent.")
    return str(job["jobId"])


def _watch(page: _Page, client: Client, job_id: str) -> dict[str, Any]:
    page.step("Watch it run", f"curl -N {client.url}/api/v1/jobs/{job_id}/events/stream")
    show(client.stream(job_id), console=page.console)
    job = client.get(job_id, result=dict[str, Any])
    if job["result"] is None:
        raise DemoFailed(f"the job {job['status']}: {error_words(job['error'])}")
    return job["result"]


def _receive(page: _Page, receiver: Receiver, *, secret: str) -> None:
    page.step("Receive the webhook and verify both signatures")
    try:
        webhook = receiver.take(timeout_seconds=_WEBHOOK_SECONDS)
    except queue.Empty:
        raise DemoFailed(f"no webhook arrived within {_WEBHOOK_SECONDS:g} s") from None
    verify_standard(secret, webhook.headers, webhook.body)
    verify_hex(secret, webhook.headers["x-webhook-signature"], webhook.body)
    page.say(_shown(webhook))
    page.say("Both signatures are valid: the service sent this webhook, and it was not changed.")


def _shown(webhook: Received) -> str:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature", "x-webhook-signature")
    lines = [f"{name}: {webhook.headers.get(name, '')}" for name in names]
    return "\n".join(map(one_line, [*lines, webhook.body.decode()]))


def _show_history(page: _Page, client: Client, job_id: str) -> None:
    page.step("Read its history: every change is an event", f"curl {client.url}/api/v1/jobs/{job_id}/events")
    page.console.print(_history(client.events(job_id)))


def _history(events: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("  sequence", justify="right")
    for name in ("occurred at", "event", "what"):
        table.add_column(name, overflow="fold" if name == "what" else "ellipsis", no_wrap=name != "what")
    for event in events:
        words = one_line(_event_words(event))
        table.add_row(str(event["sequence"]), str(event["occurredAt"]), str(event["eventType"]), words)
    return table


def _event_words(event: Mapping[str, Any]) -> str:
    data = event["data"]
    match event["eventType"]:
        case "JobProgressed":
            return progress_words(data.get("progress"), data.get("message"))
        case "JobCompleted":
            return compact(data.get("result"))
        case "JobSubmitted":
            return compact(data.get("parameters"))
        case _:
            return error_words(data.get("error"))


def _indented(text: str, *, first: str = "") -> str:
    lines = text.splitlines()
    return "\n".join(f"   {first if number == 0 else ' ' * len(first)}{line}" for number, line in enumerate(lines))
