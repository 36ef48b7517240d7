"""Commands `duly endpoints` and `duly deliveries`: receivers of webhooks, and what was delivered to them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import typer

from duly.cli.client_arguments import AsJson, Output, Url, connect, wants_json
from duly.cli.completions import complete_jobs
from duly.cli.errors import CommandLineError, one_line_errors
from duly.cli.output import print_fields, print_json
from duly.cli.tables import print_table
from duly.client.default_url import DEFAULT_URL

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Endpoint ID.", show_default=False)]
DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY", help="Delivery ID.", show_default=False)]
OfJob = Annotated[
    str | None,
    typer.Option("--job", metavar="JOB", help="Deliveries of this job.", autocompletion=complete_jobs),
]
OfEndpoint = Annotated[str | None, typer.Option("--endpoint", metavar="ENDPOINT", help="Deliveries to this endpoint.")]
OfStatus = Annotated[
    Literal["pending", "delivered", "failed"] | None, typer.Option("--status", help="Status; with --endpoint.")
]
_ENDPOINT_HEADER = ("ENDPOINT", "STATUS", "CIRCUIT", "EVENTS", "URL")
_DELIVERY_HEADER = ("DELIVERY", "STATUS", "EVENT", "CREATED", "ATTEMPTS", "CODE", "URL", "ERROR")
_ATTEMPT_HEADER = ("ATTEMPT", "TIME", "MS", "CODE", "ERROR")


def endpoints() -> typer.Typer:
    """Returns the group of commands `duly endpoints`."""
    commands = typer.Typer(help="List, test and pause webhook endpoints.", no_args_is_help=True, rich_markup_mode=None)
    commands.command("list")(list_endpoints)
    commands.command("test")(send_test)
    commands.command("pause")(pause_endpoint)
    commands.command("resume")(resume_endpoint)
    return commands


def deliveries() -> typer.Typer:
    """Returns the group of commands `duly deliveries`."""
    commands = typer.Typer(help="List, show and repeat deliveries.", no_args_is_help=True, rich_markup_mode=None)
    commands.command("list")(list_deliveries)
    commands.command("show")(show_delivery)
    commands.command("redeliver")(redeliver)
    return commands


def list_endpoints(*, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the endpoints, newest first. As JSON, one on each line."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            _print_list(client.webhooks.list(), _ENDPOINT_HEADER, _endpoint_row, as_json=as_json)


def send_test(
    endpoint: EndpointId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Send an endpoint a webhook of the type webhook.test."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            sent = client.webhooks.test(endpoint)
        if as_json:
            print_json(sent, indent=2)
        else:
            print_fields({"endpoint": endpoint, "delivery": sent["deliveryId"]})


def pause_endpoint(
    endpoint: EndpointId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Pause an endpoint: its deliveries wait."""
    with one_line_errors(), connect(url) as client:
        _print_endpoint(client.webhooks.update(endpoint, paused=True), as_json=wants_json(output, as_json=as_json))


def resume_endpoint(
    endpoint: EndpointId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Resume a paused endpoint."""
    with one_line_errors(), connect(url) as client:
        _print_endpoint(client.webhooks.update(endpoint, paused=False), as_json=wants_json(output, as_json=as_json))


def list_deliveries(
    *,
    job: OfJob = None,
    endpoint: OfEndpoint = None,
    status: OfStatus = None,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the deliveries of a job or to an endpoint, newest first. As JSON, one on each line."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        if (job is None) == (endpoint is None):
            raise CommandLineError("name either --job or --endpoint")
        if job is not None and status is not None:
            raise CommandLineError("--status needs --endpoint")
        with connect(url) as client:
            found = client.deliveries_of(job) if job else client.webhooks.deliveries(str(endpoint), status=status)
            _print_list(found, _DELIVERY_HEADER, _delivery_row, as_json=as_json)


def show_delivery(
    delivery: DeliveryId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Show a delivery with all its attempts."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            found = client.deliveries.get(delivery)
        if as_json:
            print_json(found, indent=2)
        else:
            print_fields(_delivery_fields(found))
            print_table(_ATTEMPT_HEADER, map(_attempt_row, found["attempts"]))


def redeliver(
    delivery: DeliveryId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Send a delivery again."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            sent = client.deliveries.redeliver(delivery)
        if as_json:
            print_json(sent, indent=2)
        else:
            print_fields(_delivery_fields(sent))


def _print_list(
    found: Iterable[Any],
    header: Sequence[str],
    row: Callable[[Mapping[str, Any]], Sequence[object]],
    *,
    as_json: bool,
) -> None:
    if as_json:
        for each in found:
            print_json(each)
    else:
        print_table(header, map(row, found))


def _print_endpoint(endpoint: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(endpoint, indent=2)
    else:
        print_fields({"endpoint": endpoint["webhookId"], "status": endpoint["status"], "url": endpoint["url"]})


def _endpoint_row(endpoint: Mapping[str, Any]) -> tuple[object, ...]:
    events = " ".join(endpoint["events"])
    return endpoint["webhookId"], endpoint["status"], endpoint["circuit"]["state"], events, endpoint["url"]


def _delivery_row(delivery: Mapping[str, Any]) -> tuple[object, ...]:
    members = ("deliveryId", "status", "eventType", "createdAt", "attemptCount", "lastStatusCode", "url", "lastError")
    return tuple(delivery[member] for member in members)


def _delivery_fields(delivery: Mapping[str, Any]) -> dict[str, str]:
    return {
        "delivery": delivery["deliveryId"],
        "event": delivery["eventType"],
        "job": delivery["jobId"] or "",
        "url": delivery["url"] or "",
        "status": delivery["status"],
        "created": delivery["createdAt"],
        "next": delivery["nextAttemptAt"] or "",
        "error": delivery["lastError"] or "",
    }


def _attempt_row(attempt: Mapping[str, Any]) -> tuple[object, ...]:
    members = ("attempt", "attemptedAt", "durationMs", "statusCode", "error")
    return tuple(attempt[member] for member in members)
