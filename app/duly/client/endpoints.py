"""Operations on webhook endpoints and deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypedDict, Unpack, cast

from duly.client.answers import (
    Delivery,
    DeliveryLimits,
    DeliveryStatus,
    DisclosedWebhook,
    Jwks,
    Replay,
    SentTest,
    Webhook,
    WebhookHealth,
    WholeDelivery,
)
from duly.client.operation import Operations, PerformerT, iteration, operation
from duly.client.paging import items_of
from duly.client.request import delete, get, known, patch, path_of, post
from duly.client.sending import call
from duly.client.steps import Items, Steps


class WebhookOptions(TypedDict, total=False):
    """Options of an endpoint: filters by job type and labels, and how deliveries are signed and sent."""

    types: Sequence[str]
    labels: Mapping[str, str]
    description: str
    secret: str
    headers: Mapping[str, str]
    signatures: Sequence[Literal["v1", "v1a"]]
    paused: bool
    limits: DeliveryLimits


class WebhookChange(WebhookOptions, total=False):
    """Changes of an endpoint; members that are left out stay as they are."""

    url: str
    events: Sequence[str]


class WebhookOperations(Operations[PerformerT]):
    """Creates, reads, changes, tests and deletes webhook endpoints, and replays their deliveries."""

    @operation
    def create(
        self, url: str, events: Sequence[str] = ("*",), **options: Unpack[WebhookOptions]
    ) -> Steps[DisclosedWebhook]:
        """Creates an endpoint. Returns it with its `secret`, which no other call returns.

        Args:
            url: URL that receives the webhooks.
            events: event types, such as `job.completed`; `*` stands for all.
            options: options of the endpoint.
        """
        request = post(path_of("webhooks"), {"url": url, "events": events, **options})
        return cast("DisclosedWebhook", (yield from call(request)))

    @iteration
    def list(self) -> Items[Webhook]:
        """Yields the endpoints, newest first, page by page."""
        return items_of(path_of("webhooks"))

    @operation
    def get(self, webhook_id: str) -> Steps[Webhook]:
        """Returns the endpoint, without its secret."""
        return cast("Webhook", (yield from call(get(path_of("webhooks", webhook_id)))))

    @operation
    def update(self, webhook_id: str, **changes: Unpack[WebhookChange]) -> Steps[Webhook]:
        """Changes the endpoint. A list or a mapping is replaced as a whole."""
        return cast("Webhook", (yield from call(patch(path_of("webhooks", webhook_id), changes))))

    @operation
    def delete(self, webhook_id: str) -> Steps[None]:
        """Deletes the endpoint."""
        yield from call(delete(path_of("webhooks", webhook_id)))

    @operation
    def test(self, webhook_id: str) -> Steps[SentTest]:
        """Sends the endpoint a webhook of the type `webhook.test`. Returns its `deliveryId`."""
        return cast("SentTest", (yield from call(post(path_of("webhooks", webhook_id, "test")))))

    @operation
    def rotate_secret(self, webhook_id: str, *, secret: str | None = None) -> Steps[DisclosedWebhook]:
        """Replaces the secret. The old one signs as well for 24 hours. Returns the endpoint with its new `secret`."""
        request = post(path_of("webhooks", webhook_id, "rotate-secret"), known({"secret": secret}))
        return cast("DisclosedWebhook", (yield from call(request)))

    @operation
    def public_keys(self, webhook_id: str) -> Steps[Jwks]:
        """Returns the public keys of the endpoint as a JWKS, which `verify_webhook` accepts."""
        return cast("Jwks", (yield from call(get(path_of("webhooks", webhook_id, "jwks.json")))))

    @iteration
    def deliveries(self, webhook_id: str, *, status: DeliveryStatus | None = None) -> Items[Delivery]:
        """Yields the deliveries to the endpoint, newest first, page by page."""
        return items_of(path_of("webhooks", webhook_id, "deliveries"), known({"status": status}))

    @operation
    def health(self, webhook_id: str) -> Steps[WebhookHealth]:
        """Returns the circuit of the endpoint, its pending deliveries, and how the newest ones ended."""
        return cast("WebhookHealth", (yield from call(get(path_of("webhooks", webhook_id, "health")))))

    @operation
    def replay(self, webhook_id: str, since: datetime | str) -> Steps[Replay]:
        """Sends again what the endpoint has failed to receive since then. Returns the replay, which takes its time."""
        request = post(path_of("webhooks", webhook_id, "replay"), {"since": since})
        return cast("Replay", (yield from call(request)))

    @operation
    def get_replay(self, webhook_id: str, replay_id: str) -> Steps[Replay]:
        """Returns the progress of a replay."""
        return cast("Replay", (yield from call(get(path_of("webhooks", webhook_id, "replays", replay_id)))))


class DeliveryOperations(Operations[PerformerT]):
    """Reads deliveries, and sends them again."""

    @operation
    def get(self, delivery_id: str) -> Steps[WholeDelivery]:
        """Returns the delivery with all its attempts."""
        return cast("WholeDelivery", (yield from call(get(path_of("deliveries", delivery_id)))))

    @operation
    def redeliver(self, delivery_id: str) -> Steps[Delivery]:
        """Sends the delivery again."""
        return cast("Delivery", (yield from call(post(path_of("deliveries", delivery_id, "redeliver")))))
