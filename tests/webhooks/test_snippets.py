"""Snippets of docs/webhooks/verifying.md, run as shown there."""

import json
import time
from base64 import b64encode
from hmac import digest
from pathlib import Path

import pytest

from duly.domain.webhook_key_pair import make_key_pair, to_jwk
from duly.webhooks.signature import signature_header
from tests.support.service import Service
from tests.support.webhook_receiver import Receiver
from tests.support.webhook_snippets import WITH_JWKS, WITH_SECRETS, Prepare, Webhook, ask

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
UNPADDED = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAA"
PLAIN = "ein Geheimnis, ungefähr"
OTHER = "whsec_dGVzdA=="
PAIR, NEXT_PAIR, OTHER_PAIR = make_key_pair(), make_key_pair(), make_key_pair()
MESSAGE_ID = "0199e7a2-0000-7000-8000-000000000001"
BODY = '{"type":"job.completed","result":"größer 🚀"}'.encode()


def signed(
    *secrets: str, private: tuple[str, ...] = (), body: bytes = BODY, message_id: str = MESSAGE_ID, age: int = 0
) -> dict[str, str]:
    timestamp = int(time.time()) - age
    made = signature_header(secrets, private, message_id=message_id, timestamp=timestamp, body=body)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": made}


def jwks(*public: str) -> str:
    # A key of another kind comes first, which the snippet must skip.
    return json.dumps({"keys": [{"kty": "AKP", "kid": "x"}, *map(to_jwk, public)]})


def accepts_all(verdicts: list[str]) -> bool:
    return set(verdicts) == {"accepted"}


def refuses(verdicts: list[str], *expected: str) -> bool:
    """Checks that each webhook was refused for the expected reason."""
    return verdicts == [f"refused {reason}" for reason in expected]


@pytest.mark.parametrize("prepare", WITH_SECRETS.values(), ids=list(WITH_SECRETS))
async def test_a_snippet_accepts_what_a_service_sends_and_refuses_it_changed(
    prepare: Prepare, service: Service, receiver: Receiver, tmp_path: Path
) -> None:
    command = prepare(tmp_path)
    for secret in (SECRET, PLAIN):
        await service.run("echo", {"größe": "🚀"}, callbackUrl=receiver.url, callbackSecret=secret)
        real = await receiver.next()
        assert accepts_all(
            ask(command, [Webhook(real.headers, real.body, keys) for keys in ([secret], [OTHER, secret])])
        )
        stale = {**real.headers, "webhook-timestamp": str(int(real.headers["webhook-timestamp"]) - 301)}
        renamed = {**real.headers, "webhook-id": "another"}
        sooner = {**real.headers, "webhook-timestamp": str(int(real.headers["webhook-timestamp"]) - 1)}
        verdicts = ask(
            command,
            [
                Webhook(real.headers, real.body, [OTHER]),
                Webhook(real.headers, real.body.replace(b"completed", b"cancelled"), [secret]),
                Webhook(renamed, real.body, [secret]),
                Webhook(sooner, real.body, [secret]),
                Webhook(stale, real.body, [secret]),
            ],
        )
        assert refuses(verdicts, *["no signature matches"] * 4, "too old, or from the future")


@pytest.mark.parametrize("prepare", WITH_SECRETS.values(), ids=list(WITH_SECRETS))
def test_a_snippet_tells_good_signatures_from_bad(prepare: Prepare, tmp_path: Path) -> None:
    command = prepare(tmp_path)
    good = signed(SECRET)
    v1 = good["webhook-signature"]
    accepted = ask(
        command,
        [
            *(Webhook(signed(secret), BODY, [secret]) for secret in (SECRET, UNPADDED, UNPADDED + "==", PLAIN)),
            *(Webhook(signed(SECRET, PLAIN), BODY, [secret]) for secret in (SECRET, PLAIN)),
            Webhook(signed(SECRET), BODY, [PLAIN, OTHER, SECRET]),
            Webhook(signed(SECRET, private=(PAIR.private,)), BODY, [SECRET]),
            Webhook({**good, "webhook-signature": f"v2,x {v1} v1a,AAAA"}, BODY, [SECRET]),
            Webhook(signed(SECRET, body=b""), b"", [SECRET]),
            *(Webhook(signed(SECRET, age=age), BODY, [SECRET]) for age in (-270, 270)),
        ],
    )
    assert accepts_all(accepted)
    for age in (302, -330):  # signed with the right secret, so that it is the time alone that is wrong
        assert refuses(ask(command, [Webhook(signed(SECRET, age=age), BODY, [SECRET])]), "too old, or from the future")
    for text in ("", "now", "-1", "1e9", "9" * 30):
        late = {**good, "webhook-timestamp": text}
        assert refuses(ask(command, [Webhook(late, BODY, [SECRET])]), "no timestamp")
    bad = [
        "",
        "v1",
        "v1,",
        v1[3:],
        v1.lower(),
        v1 + "A",
        "v1a" + v1[2:],
        "v2" + v1[2:],
        "v1,é",
        signed(OTHER)["webhook-signature"],
    ]
    verdicts = ask(command, [Webhook({**good, "webhook-signature": text}, BODY, [SECRET]) for text in bad])
    assert refuses(verdicts, *["no signature matches"] * len(bad))


@pytest.mark.parametrize("prepare", WITH_SECRETS.values(), ids=list(WITH_SECRETS))
def test_a_snippet_takes_no_empty_secret_for_anyone_can_sign_with_that(prepare: Prepare, tmp_path: Path) -> None:
    timestamp = str(int(time.time()))
    forged = b64encode(digest(b"", f"{MESSAGE_ID}.{timestamp}.".encode() + BODY, "sha256")).decode()
    headers = {"webhook-id": MESSAGE_ID, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{forged}"}
    verdicts = ask(prepare(tmp_path), [Webhook(headers, BODY, [secret]) for secret in ("", "whsec_")])
    assert refuses(verdicts, "an empty secret", "an empty secret")


@pytest.mark.parametrize("prepare", WITH_JWKS.values(), ids=list(WITH_JWKS))
async def test_a_snippet_for_public_keys_accepts_what_a_service_sends_and_refuses_it_changed(
    prepare: Prepare, service: Service, receiver: Receiver, tmp_path: Path
) -> None:
    asked = {"url": receiver.url, "events": ["job.completed"], "signatures": ["v1", "v1a"]}
    made = await service.client.post("/api/v1/webhooks", json=asked)
    assert made.status_code == 201, made.text
    shown = (await service.client.get(made.json()["jwksUrl"])).text
    await service.run("echo", {"größe": "🚀"})
    real = await receiver.next()
    verdicts = ask(
        prepare(tmp_path),
        [
            Webhook(real.headers, real.body, [shown]),
            Webhook(real.headers, real.body, [jwks(*made.json()["publicKeys"])]),
            Webhook(real.headers, real.body, [jwks(OTHER_PAIR.public)]),
            Webhook(real.headers, real.body + b" ", [shown]),
            Webhook({**real.headers, "webhook-id": "another"}, real.body, [shown]),
        ],
    )
    assert accepts_all(verdicts[:2])
    assert refuses(verdicts[2:], *["no signature matches"] * 3)


@pytest.mark.parametrize("prepare", WITH_JWKS.values(), ids=list(WITH_JWKS))
def test_a_snippet_for_public_keys_tells_good_signatures_from_bad(prepare: Prepare, tmp_path: Path) -> None:
    command = prepare(tmp_path)
    good = signed(SECRET, private=(NEXT_PAIR.private, PAIR.private))
    v1, _, v1a = good["webhook-signature"].split()
    accepted = ask(
        command,
        [
            Webhook(good, BODY, [jwks(PAIR.public)]),
            Webhook(good, BODY, [jwks(OTHER_PAIR.public, NEXT_PAIR.public)]),
            Webhook({**good, "webhook-signature": f"v1a,AAAA v2,x v1a {v1} {v1a}"}, BODY, [jwks(PAIR.public)]),
            Webhook(signed(private=(PAIR.private,), body=b""), b"", [jwks(PAIR.public)]),
        ],
    )
    assert accepts_all(accepted)
    verdicts = ask(
        command,
        [
            Webhook(good, BODY, [jwks(OTHER_PAIR.public)]),
            Webhook(good, BODY, [jwks()]),
            Webhook(good, BODY + b" ", [jwks(PAIR.public)]),
            Webhook({**good, "webhook-id": "another"}, BODY, [jwks(PAIR.public)]),
            Webhook({**good, "webhook-signature": v1}, BODY, [jwks(PAIR.public)]),
            Webhook({**good, "webhook-signature": "v1" + v1a[3:]}, BODY, [jwks(PAIR.public)]),
            Webhook({**good, "webhook-signature": ""}, BODY, [jwks(PAIR.public)]),
            Webhook(signed(private=(PAIR.private,), age=302), BODY, [jwks(PAIR.public)]),
            Webhook(signed(private=(PAIR.private,), age=-330), BODY, [jwks(PAIR.public)]),
            Webhook({**good, "webhook-timestamp": "now"}, BODY, [jwks(PAIR.public)]),
        ],
    )
    late = ["too old, or from the future"] * 2
    assert refuses(verdicts, *["no signature matches"] * 7, *late, "no timestamp")
