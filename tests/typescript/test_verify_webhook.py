"""`verifyWebhook` of the TypeScript client: which webhooks it accepts, and why it refuses the others."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from duly.domain.webhook_key_pair import make_key_pair, to_jwk
from tests.support.client_site import PROGRAMS
from tests.support.node_packages import node_20
from tests.support.service import Service
from tests.support.webhook_receiver import Receiver
from tests.support.webhook_snippets import Webhook, ask
from tests.webhooks.test_snippets import BODY, MESSAGE_ID, OTHER, PLAIN, SECRET, signed

PAIR, OTHER_PAIR = make_key_pair(), make_key_pair()
ACCEPTED = f"accepted {MESSAGE_ID} job.completed"
NO_MATCH = "refused No signature in webhook-signature matches the body and the keys."
JWKS = json.dumps({"keys": [{"kty": "RSA", "n": "x"}, to_jwk(OTHER_PAIR.public), to_jwk(PAIR.public)]})


def with_headers(changes: dict[str, str], *keys: str) -> Webhook:
    return Webhook({**signed(SECRET), **changes}, BODY, keys)


def cases() -> dict[str, tuple[Webhook, str]]:
    """Returns webhooks signed now, each with its verdict."""
    return {
        "a secret": (Webhook(signed(SECRET), BODY, [SECRET]), ACCEPTED),
        "a secret as text": (Webhook(signed(PLAIN), BODY, [PLAIN]), ACCEPTED),
        "one of two secrets": (Webhook(signed(OTHER, SECRET), BODY, [PLAIN, SECRET]), ACCEPTED),
        "a public key": (Webhook(signed(private=(PAIR.private,)), BODY, [PAIR.public]), ACCEPTED),
        "a JWKS": (Webhook(signed(SECRET, private=(PAIR.private,)), BODY, [JWKS]), ACCEPTED),
        "another secret": (Webhook(signed(SECRET), BODY, [OTHER]), NO_MATCH),
        "another public key": (Webhook(signed(private=(PAIR.private,)), BODY, [OTHER_PAIR.public]), NO_MATCH),
        "a changed body": (Webhook(signed(SECRET), BODY + b" ", [SECRET]), NO_MATCH),
        "a changed id": (with_headers({"webhook-id": "another"}, SECRET), NO_MATCH),
        "a v1 signature as v1a": (
            with_headers({"webhook-signature": signed(SECRET)["webhook-signature"].replace("v1,", "v1a,")}, SECRET),
            NO_MATCH,
        ),
        "a signature that is no base64": (with_headers({"webhook-signature": "v1,!! v1 ,"}, SECRET), NO_MATCH),
        "too old": (
            Webhook(signed(SECRET, age=301), BODY, [SECRET]),
            "refused webhook-timestamp is more than 300 seconds from now.",
        ),
        "from the future": (
            Webhook(signed(SECRET, age=-400), BODY, [SECRET]),
            "refused webhook-timestamp is more than 300 seconds from now.",
        ),
        "no time": (
            with_headers({"webhook-timestamp": "1e9"}, SECRET),
            "refused webhook-timestamp is not a number of unix seconds.",
        ),
        "no id": (with_headers({"webhook-id": " "}, SECRET), "refused The header webhook-id is missing."),
        "too many signatures": (
            with_headers({"webhook-signature": "v1,AAAA " * 21}, SECRET),
            "refused webhook-signature has more than 20 signatures.",
        ),
        "no event": (
            Webhook(signed(SECRET, body=b"[1]"), b"[1]", [SECRET]),
            "refused The webhook is signed, but its body is not a JSON object.",
        ),
        "an empty secret": (
            Webhook(signed(SECRET), BODY, ["whsec_", SECRET]),
            "mistake a secret is text, or whsec_ and padded base64, and is not empty",
        ),
        "half a public key": (
            Webhook(signed(SECRET), BODY, ["whpk_AAAA", SECRET]),
            "mistake a public key is whpk_ and the base64 of 32 bytes",
        ),
        "no key": (Webhook(signed(SECRET), BODY, ['{"keys": []}']), "mistake no key to verify the webhook with"),
    }


@pytest.fixture(scope="session")
def command(package: Path) -> Sequence[str]:
    return [node_20(), str(PROGRAMS / "verify.mjs"), str(package / "dist")]


def test_each_webhook_gets_its_verdict(command: Sequence[str]) -> None:
    expected = cases()
    verdicts = ask(command, [webhook for webhook, _ in expected.values()])
    assert dict(zip(expected, verdicts, strict=True)) == {name: verdict for name, (_, verdict) in expected.items()}


async def test_what_a_service_sends_is_accepted(command: Sequence[str], service: Service, receiver: Receiver) -> None:
    for secret in (SECRET, PLAIN):
        await service.run("echo", {"größe": "🚀"}, callbackUrl=receiver.url, callbackSecret=secret)
        real = await receiver.next()
        assert ask(command, [Webhook(real.headers, real.body, [secret])]) == [
            f"accepted {real.headers['webhook-id']} job.completed"
        ]
