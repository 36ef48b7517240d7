"""Webhooks of a running service, verified with published libraries and with our own."""

import json
import os
import time
from pathlib import Path
from typing import Protocol

import pytest

from duly.client import SignatureError, verify_webhook
from duly.domain.webhook_key_pair import make_key_pair
from duly.webhooks.signature import signature_header
from tests.support.node_packages import node, node_packages
from tests.support.service import Service
from tests.support.webhook_receiver import Received, Receiver
from tests.support.webhook_snippets import Webhook, ask

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLAIN = "my plain-text secret"  # ASCII: the JavaScript library takes one byte a character
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
VERIFY = Path(__file__).parents[1] / "support" / "node" / "verify.cjs"


class Library(Protocol):
    def __call__(self, webhook: Webhook) -> bool:
        """Returns whether the library accepts the webhook with this secret."""


def python_standardwebhooks(webhook: Webhook) -> bool:
    import standardwebhooks  # noqa: PLC0415  # takes a while, and few tests want it

    (secret,) = webhook.keys
    try:
        standardwebhooks.Webhook(_as_taken(secret)).verify(webhook.body, dict(webhook.headers))
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def python_svix(webhook: Webhook) -> bool:
    import svix.webhooks  # noqa: PLC0415  # takes a second

    (secret,) = webhook.keys
    try:
        svix.webhooks.Webhook(_as_taken(secret)).verify(webhook.body, dict(webhook.headers))
    except svix.webhooks.WebhookVerificationError:
        return False
    return True


def python_duly(webhook: Webhook) -> bool:
    (secret,) = webhook.keys
    try:
        event = verify_webhook(webhook.headers, webhook.body, secret)
    except SignatureError:
        return False
    return (event.id, event.body) == (webhook.headers["webhook-id"], json.loads(webhook.body))


PYTHON = {
    "Python standardwebhooks": python_standardwebhooks,
    "Python svix": python_svix,
    "Python duly.client": python_duly,
}


def _as_taken(secret: str) -> str | bytes:
    # The library reads every text as base64, so a secret in plain text is passed as bytes.
    return secret if secret.startswith("whsec_") else secret.encode()


@pytest.fixture(params=[*PYTHON, "JavaScript standardwebhooks"])
def library(request: pytest.FixtureRequest) -> Library:
    if request.param in PYTHON:
        return PYTHON[request.param]
    command = [node(), str(VERIFY)]
    environment = os.environ | {"NODE_PATH": str(node_packages(request.config))}

    def javascript_standardwebhooks(webhook: Webhook) -> bool:
        (verdict,) = ask(command, [webhook], env=environment)
        return verdict.startswith("accepted")

    return javascript_standardwebhooks


@pytest.mark.parametrize("secret", [SECRET, PLAIN])
async def test_a_library_accepts_what_a_service_sends_and_refuses_it_changed(
    library: Library, secret: str, service: Service, receiver: Receiver
) -> None:
    for type_, parameters in (("echo", {"größe": "🚀", "text": 'a "quoted" line\n'}), ("fail", {})):
        await service.run(type_, parameters, callbackUrl=receiver.url, callbackSecret=secret)
        real = await receiver.next()
        assert library(Webhook(real.headers, real.body, [secret]))
        assert not library(Webhook(real.headers, real.body, [OTHER]))
        assert not library(Webhook(real.headers, real.body.replace(b'"job.', b'"jab.'), [secret]))
        assert not library(Webhook({**real.headers, "webhook-id": "another"}, real.body, [secret]))
        assert not library(Webhook({**real.headers, "webhook-timestamp": _sooner(real)}, real.body, [secret]))


def _sooner(real: Received) -> str:
    return str(int(real.headers["webhook-timestamp"]) - 1)


def test_a_library_accepts_either_secret_while_it_is_rotated_and_passes_over_asymmetric_signatures(
    library: Library,
) -> None:
    timestamp, body = int(time.time()), '{"type":"webhook.test","größe":"🚀"}'.encode()
    private = [make_key_pair().private]
    made = signature_header([SECRET, PLAIN], private, message_id="msg_1", timestamp=timestamp, body=body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(timestamp), "webhook-signature": made}
    assert library(Webhook(headers, body, [SECRET]))
    assert library(Webhook(headers, body, [PLAIN]))
    assert not library(Webhook(headers, body, [OTHER]))
