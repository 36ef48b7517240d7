"""Endpoints: registration, changes, deletion, and the secrets and keys that sign their webhooks."""

import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from duly.domain.audit import Actor, AuditEntry
from duly.domain.database_clock import DatabaseClock
from duly.domain.endpoint_events_and_headers import event_mask, event_names
from duly.domain.ids import event_id
from duly.domain.json_writer import dump_text
from duly.domain.sealing import CannotUnseal, Keyring
from duly.domain.tenant import MOST_ENDPOINTS
from duly.domain.webhook_events import endpoint_disabled_body, endpoint_test_body
from duly.domain.webhook_key_pair import make_key_pair, public_key_of
from duly.errors import EndpointDisabled, EndpointLimitReached, NotFound
from duly.store.access.audit import record_change
from duly.store.postgres.database import Connection, Database
from duly.store.queue.limits import FlowLimits
from duly.store.webhooks.endpoints import (
    Endpoint,
    Key,
    Keys,
    Subscription,
    delete_endpoint,
    hold_endpoint,
    insert_endpoint,
    most_endpoints,
    read_endpoint,
    reset_failures,
    rotate_keys,
    update_endpoint,
)
from duly.store.webhooks.messages_without_event import insert_test
from duly.store.webhooks.receivers import disable_endpoint

OVERLAP_SECONDS = 86_400.0
_SECRET_BYTES = 32
_DISABLED_REASON = "REQUESTED: disabled over the API"


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """Client's change of an endpoint. None keeps a member, or its default; an empty description removes
    it.

    `asymmetric`: key pairs sign too. `disabled`: stops deliveries, or resumes them.
    """

    url: str | None = None
    events: Sequence[str] | None = None
    types: Sequence[str] | None = None
    labels: Mapping[str, str] | None = None
    description: str | None = None
    headers: Mapping[str, str] | None = None
    asymmetric: bool | None = None
    paused: bool | None = None
    limits: FlowLimits | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class EndpointWithSecret:
    """Endpoint with its newest secret in clear, for the one response that shows it."""

    endpoint: Endpoint
    secret: str = field(repr=False)


class SentTest(NamedTuple):
    """Test webhook: its delivery and its event id."""

    delivery_id: UUID
    event_id: UUID


class Endpoints:
    """Operations on endpoints.

    Args:
        wake: called when deliveries may have become due, or can be abandoned.
    """

    def __init__(self, database: Database, keyring: Keyring, *, wake: Callable[[], None], clock: DatabaseClock) -> None:
        self._database = database
        self._keyring = keyring
        self._wake = wake
        self._clock = clock

    async def add(
        self, tenant_id: int, change: EndpointChange, secret: str | None, *, by: Actor | None = None
    ) -> EndpointWithSecret:
        """Registers an endpoint; a missing secret is generated.

        Raises:
            TooManyEndpoints: the tenant has reached the limit.
        """
        key, clear = (tenant_id, self._clock.ids.new()), secret or _new_secret()
        subscription = self._subscription_after(tenant_id, Subscription(url=""), change)
        keys = Keys(self._sealed(tenant_id, clear), self._new_key(tenant_id) if change.asymmetric else None)
        async with self._database.connection() as connection, connection.transaction():
            most = await most_endpoints(connection, tenant_id, default=MOST_ENDPOINTS)
            if not await insert_endpoint(connection, key, subscription, keys, most=most):
                raise EndpointLimitReached.of(most)
            await record_change(connection, tenant_id, by, _entry("webhook.created", key, None, subscription))
            return EndpointWithSecret(await _read_existing(connection, key), clear)

    async def change(self, key: Key, change: EndpointChange, *, by: Actor | None = None) -> Endpoint:
        """Changes the given members. A new URL resets the state of the receiver.

        Raises:
            NotFound: the tenant has no such endpoint.
        """
        async with self._database.connection() as connection, connection.transaction():
            current = await _hold(connection, key)
            subscription = self._subscription_after(key[0], current.subscription, change)
            enables = change.disabled is False and current.disabled_at is not None
            await update_endpoint(
                connection, key, subscription, self._keys_after(current, change.asymmetric), enables=enables
            )
            if enables or subscription.url != current.subscription.url:
                await reset_failures(connection, key)
            if change.disabled:
                body = endpoint_disabled_body(key[1], _DISABLED_REASON, at=self._clock.now())
                message_id = self._clock.ids.new()
                await disable_endpoint(connection, *key, reason=_DISABLED_REASON, message_id=message_id, body=body)
            await record_change(
                connection, key[0], by, _entry("webhook.changed", key, current.subscription, subscription)
            )
            changed = await _read_existing(connection, key)
        self._wake()
        return changed

    async def delete(self, key: Key, *, by: Actor | None = None) -> None:
        """Deletes an endpoint; its pending deliveries are abandoned.

        Raises:
            NotFound: the tenant has no such endpoint.
        """
        async with self._database.connection() as connection, connection.transaction():
            current = await _hold(connection, key)
            await delete_endpoint(connection, key)
            await record_change(connection, key[0], by, _entry("webhook.deleted", key, current.subscription, None))
        self._wake()

    async def rotate(self, key: Key, secret: str | None, *, by: Actor | None = None) -> EndpointWithSecret:
        """Replaces the keys; the previous ones keep signing for a day. A secret that is already the newest changes
        nothing, so repeating a request after a lost response loses no key.

        Raises:
            NotFound: the tenant has no such endpoint.
        """
        clear = secret or _new_secret()
        async with self._database.connection() as connection, connection.transaction():
            current = await _hold(connection, key)
            newest = self._unsealed(current, current.keys.secret)
            if newest != clear:
                new_key = self._new_key(key[0]) if current.keys.signing_key is not None else None
                keys = Keys(self._sealed(key[0], clear), new_key)
                # A key that cannot be unsealed cannot sign, and would prevent the new one from signing.
                overlap_seconds = OVERLAP_SECONDS if newest is not None else 0.0
                await rotate_keys(connection, key, keys, overlap_seconds=overlap_seconds)
                await record_change(
                    connection, key[0], by, _entry("webhook.rotated", key, current.subscription, current.subscription)
                )
            return EndpointWithSecret(await _read_existing(connection, key), clear)

    async def test(self, key: Key) -> SentTest:
        """Sends `webhook.test`; to a paused endpoint after it is resumed.

        Raises:
            NotFound: the tenant has no such endpoint.
            EndpointDisabled: it is disabled.
        """
        message_id = self._clock.ids.new()
        async with self._database.connection() as connection, connection.transaction():
            current = await _hold(connection, key)
            if current.disabled_at is not None:
                raise EndpointDisabled(
                    "The webhook is disabled, and is sent nothing.",
                    reason='Enable it first: PATCH {"disabled": false}.',
                )
            body = endpoint_test_body(key[1], at=self._clock.now())
            delivery_id = await insert_test(connection, *key, message_id=message_id, body=body)
        self._wake()
        if delivery_id is None:
            raise no_such_endpoint()
        return SentTest(delivery_id, event_id(message_id, 0))

    def header_names(self, endpoint: Endpoint) -> list[str] | None:
        """Returns the names of the additional headers; None if they cannot be unsealed here."""
        if endpoint.subscription.headers is None:
            return []
        opened = self._unsealed(endpoint, endpoint.subscription.headers)
        return list(orjson.loads(opened)) if opened is not None else None

    def public_keys(self, endpoint: Endpoint) -> list[str]:
        """Returns the public keys of the pairs that sign its webhooks, newest first, as far as they can be unsealed
        here.
        """
        private = (endpoint.keys.signing_key, endpoint.keys.previous_signing_key)
        opened = [self._unsealed(endpoint, sealed) for sealed in private if sealed is not None]
        return [public_key_of(key) for key in opened if key is not None]

    def _subscription_after(self, tenant_id: int, before: Subscription, change: EndpointChange) -> Subscription:
        """Returns the subscription with the change applied. `*` means other events with a filter than without, so the
        names are kept.
        """
        given = {name: getattr(change, name) for name in ("url", "labels", "paused", "limits")}
        after = replace(before, **{name: value for name, value in given.items() if value is not None})
        if change.types is not None:
            after = replace(after, types=tuple(dict.fromkeys(change.types)))
        if change.description is not None:
            after = replace(after, description=change.description or None)
        if change.headers is not None:
            after = replace(
                after, headers=self._sealed(tenant_id, dump_text(change.headers)) if change.headers else None
            )
        names = event_names(before.events, filtered=before.filtered) if change.events is None else change.events
        return replace(after, events=event_mask(names, filtered=after.filtered))

    def _keys_after(self, current: Endpoint, asymmetric: bool | None) -> Keys:  # noqa: FBT001  # True, False, or unchanged
        """Returns the key pairs after the change."""
        if asymmetric is False:
            return replace(current.keys, signing_key=None, previous_signing_key=None)
        if asymmetric and current.keys.signing_key is None:
            return replace(current.keys, signing_key=self._new_key(current.tenant_id))
        return current.keys

    def _unsealed(self, endpoint: Endpoint, sealed: str) -> str | None:
        try:
            return self._keyring.unseal(sealed, tenant_id=endpoint.tenant_id, purpose="endpoint")
        except CannotUnseal:
            return None

    def _sealed(self, tenant_id: int, text: str) -> str:
        return self._keyring.seal(text, tenant_id=tenant_id, purpose="endpoint")

    def _new_key(self, tenant_id: int) -> str:
        return self._sealed(tenant_id, make_key_pair().private)


def _entry(action: str, key: Key, before: Subscription | None, after: Subscription | None) -> AuditEntry:
    return AuditEntry(action, str(key[1]), _audited(before), _audited(after))


def _audited(subscription: Subscription | None) -> dict[str, Any] | None:
    """Returns an endpoint for the audit log, without its headers, which may be secret."""
    if subscription is None:
        return None
    return {
        "url": subscription.url,
        "events": list(event_names(subscription.events, filtered=subscription.filtered)),
        "types": list(subscription.types),
        "labels": dict(subscription.labels),
        "description": subscription.description,
        "paused": subscription.paused,
    }


def no_such_endpoint() -> NotFound:
    """Returns the error for an unknown endpoint."""
    return NotFound("Webhook not found.")


async def _hold(connection: Connection, key: Key) -> Endpoint:
    current = await hold_endpoint(connection, key)
    if current is None:
        raise no_such_endpoint()
    return current


async def _read_existing(connection: Connection, key: Key) -> Endpoint:
    """Returns an endpoint that the caller's transaction has written."""
    found = await read_endpoint(connection, key)
    if found is None:
        raise no_such_endpoint()
    return found


def _new_secret() -> str:
    return f"whsec_{b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
