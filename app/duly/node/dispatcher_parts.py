"""Composition of the webhook dispatcher and of the HTTP client that it posts with."""

from duly import __version__
from duly.domain.database_clock import DatabaseClock
from duly.domain.sealing import Keyring
from duly.outbound import OutboundClient
from duly.settings import Settings
from duly.store.postgres.database import Database
from duly.telemetry.metrics import Metrics
from duly.telemetry.tracing import Tracing
from duly.webhooks.dispatcher import Dispatcher
from duly.webhooks.receiver_windows import CONCURRENT
from duly.webhooks.sender import Sender
from duly.webhooks.settler import Settler


def webhook_client(settings: Settings) -> OutboundClient:
    """Returns the client for webhooks, which may connect to the networks that the settings allow."""
    return OutboundClient(
        egress=settings.egress,
        # The dispatcher limits each receiver; several of them may share a host.
        connections=CONCURRENT,
        connections_per_host=CONCURRENT,
        total_seconds=settings.webhook_timeout_seconds,
        connect_seconds=settings.webhook_connect_seconds,
    )


def build_dispatcher(  # noqa: PLR0913  # the parts that it composes
    settings: Settings,
    database: Database,
    metrics: Metrics,
    tracing: Tracing,
    client: OutboundClient,
    *,
    fallback_secret: str,
    keyring: Keyring,
    clock: DatabaseClock,
) -> Dispatcher:
    """Returns the dispatcher; the caller sets its `wake`."""
    sender = Sender(
        client,
        metrics,
        schedule=settings.webhook_retry_seconds,
        user_agent=f"Duly/{__version__}",
        fallback_secret=fallback_secret,
        keyring=keyring,
        clock=clock,
        tracing=tracing,
    )
    settler = Settler(database, metrics, disable_seconds=settings.webhook_disable_seconds, clock=clock)
    return Dispatcher(database, sender, settler, post_seconds=settings.webhook_timeout_seconds)
