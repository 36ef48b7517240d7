import hmac
import time
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from duly.client import SignatureError, WebhookEvent, verify_standard, verify_webhook
from duly.client.webhooks import Keys
from duly.domain.webhook_key_pair import make_key_pair, to_jwk
from duly.webhooks.signature import signature_header

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PLAIN = "a secret in plain text, ü"
PAIR = make_key_pair()
NEXT_PAIR = make_key_pair()
OTHER_PAIR = make_key_pair()
ID = "0199e7a2-0000-7000-8000-000000000001"
NOW = 1769508300
BODY = '{"type":"job.completed","jobId":"7","result":{"größe":1}}'.encode()
BODY_READ = {"type": "job.completed", "jobId": "7", "result": {"größe": 1}}


def headers_of(
    secrets: Sequence[str] = (), private: Sequence[str] = (), *, body: bytes = BODY, timestamp: int = NOW
) -> dict[str, str]:
    signature = signature_header(secrets, private, message_id=ID, timestamp=timestamp, body=body)
    return {"Webhook-Id": ID, "WEBHOOK-TIMESTAMP": str(timestamp), "webhook-signature": signature}


def refused(headers: dict[str, str], body: bytes, keys: Keys, **options: Any) -> str:
    """Returns the reason for which a webhook is refused."""
    with pytest.raises(SignatureError) as raised:
        verify_webhook(headers, body, keys, **{"now": NOW, **options})
    return str(raised.value)


@pytest.mark.parametrize("secret", [OLD, PLAIN])
def test_a_good_webhook_gives_its_event(secret: str) -> None:
    assert verify_webhook(headers_of([secret]), BODY, secret, now=NOW) == WebhookEvent(
        id=ID, type="job.completed", sent_at=datetime.fromtimestamp(NOW, UTC), body=BODY_READ
    )


def test_now_is_the_clock_where_it_is_not_given() -> None:
    now = int(time.time())
    assert verify_webhook(headers_of([OLD], timestamp=now), BODY, OLD).sent_at == datetime.fromtimestamp(now, UTC)
    with pytest.raises(SignatureError, match="more than 300 seconds"):
        verify_webhook(headers_of([OLD], timestamp=now - 1000), BODY, OLD)


@pytest.mark.parametrize(
    "keys",
    [OLD, NEW, [NEW, "whsec_bm9uZQ=="], ["none", OLD], (OLD, PAIR.public)],
    ids=["old", "new", "new and another", "another and old", "old and a public key"],
)
def test_while_the_sender_rotates_either_secret_will_do(keys: Keys) -> None:
    assert verify_webhook(headers_of([NEW, OLD]), BODY, keys, now=NOW).id == ID


def test_while_the_receiver_rotates_a_webhook_with_either_secret_is_good() -> None:
    for secret in (OLD, NEW):
        assert verify_webhook(headers_of([secret]), BODY, [NEW, OLD], now=NOW).body == BODY_READ


@pytest.mark.parametrize(
    "keys",
    [
        PAIR.public,
        NEXT_PAIR.public,
        [OTHER_PAIR.public, PAIR.public],
        {"keys": [to_jwk(OTHER_PAIR.public), to_jwk(NEXT_PAIR.public)]},
        {"keys": [{"kty": "RSA", "n": "x", "e": "AQAB"}, to_jwk(PAIR.public)]},
    ],
    ids=["key", "next key", "list", "JWKS", "JWKS of several kinds"],
)
def test_a_public_key_verifies_what_its_private_half_signed(keys: Keys) -> None:
    headers = headers_of([OLD], [NEXT_PAIR.private, PAIR.private])
    assert verify_webhook(headers, BODY, keys, now=NOW).body == BODY_READ
    assert "No signature" in refused(headers, BODY + b" ", keys)
    assert "No signature" in refused(headers | {"Webhook-Id": "another"}, BODY, keys)
    assert "No signature" in refused(headers | {"WEBHOOK-TIMESTAMP": str(NOW - 1)}, BODY, keys)


def test_a_webhook_that_another_signed_is_refused() -> None:
    headers = headers_of([OLD, PLAIN], [PAIR.private])
    for keys in (NEW, "plain", [NEW, "plain"], OTHER_PAIR.public, {"keys": [to_jwk(OTHER_PAIR.public)]}):
        assert "No signature" in refused(headers, BODY, keys)


def test_a_secret_does_not_stand_in_for_a_public_key_nor_the_other_way_round() -> None:
    v1, v1a = headers_of([OLD]), headers_of([], [PAIR.private])
    assert "No signature" in refused(v1, BODY, PAIR.public)
    assert "No signature" in refused(v1a, BODY, OLD)
    relabelled = v1a["webhook-signature"].replace("v1a,", "v1,")
    for keys in (OLD, PAIR.public):
        assert "No signature" in refused(v1a | {"webhook-signature": relabelled}, BODY, keys)


def test_who_knows_the_public_key_cannot_sign_with_it_as_a_secret() -> None:
    forged = b64encode(hmac.digest(PAIR.public.encode(), f"{ID}.{NOW}.".encode() + BODY, "sha256")).decode()
    headers = headers_of([OLD]) | {"webhook-signature": f"v1,{forged}"}
    assert "No signature" in refused(headers, BODY, PAIR.public)
    with pytest.raises(ValueError, match="keys of a pair"):
        verify_standard(PAIR.public, headers, BODY, now=NOW)


@pytest.mark.parametrize("unknown", ["v2,AAAA", "v1a,AAAA", "v1a,é", "v1a", "v1,", ",", "v0," + "A" * 500])
def test_signatures_of_unknown_versions_and_broken_ones_are_passed_over(unknown: str) -> None:
    good = headers_of([OLD], [PAIR.private])
    for keys in (OLD, PAIR.public):
        around = good | {"webhook-signature": f"{unknown}  {good['webhook-signature']} {unknown}"}
        assert verify_webhook(around, BODY, keys, now=NOW).id == ID
        assert "No signature" in refused(good | {"webhook-signature": unknown}, BODY, keys)


@pytest.mark.parametrize("key", [OLD, PAIR.public], ids=["secret", "public key"])
@pytest.mark.parametrize("seconds", [-1, 1])
def test_a_webhook_too_old_or_from_the_future_is_refused(key: str, seconds: int) -> None:
    headers = headers_of([OLD], [PAIR.private])
    assert verify_webhook(headers, BODY, key, now=NOW + 300 * seconds).id == ID
    assert "more than 300 seconds" in refused(headers, BODY, key, now=NOW + 301 * seconds)
    assert "more than 10 seconds" in refused(headers, BODY, key, now=NOW + 11 * seconds, tolerance_seconds=10)


@pytest.mark.parametrize("name", ["Webhook-Id", "WEBHOOK-TIMESTAMP", "webhook-signature"])
def test_a_header_that_is_missing_or_there_twice_is_named(name: str) -> None:
    headers = headers_of([OLD])
    without = {key: value for key, value in headers.items() if key != name}
    assert refused(without, BODY, OLD) == f"The header {name.lower()} is missing."
    assert refused(headers | {name.title() + " ": ""} | {name.swapcase(): "x"}, BODY, OLD) == (
        f"The header {name.lower()} occurs twice."
    )


@pytest.mark.parametrize("body", [BODY.decode(), {"type": "job.completed"}, None])
def test_a_body_that_is_not_the_bytes_received_is_refused_with_the_reason(body: Any) -> None:
    with pytest.raises(TypeError, match="must be the bytes as received"):
        verify_webhook(headers_of([OLD]), body, OLD, now=NOW)


def test_bytes_in_another_wrapping_are_bytes() -> None:
    for body in (bytearray(BODY), memoryview(BODY)):
        assert verify_webhook(headers_of([OLD]), body, OLD, now=NOW).body == BODY_READ


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff"])
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    assert "is not a JSON object" in refused(headers_of([OLD], body=body), body, OLD)


@pytest.mark.parametrize("keys", [[], {}, {"keys": []}, {"keys": [{"kty": "RSA"}]}])
def test_without_any_key_nothing_is_good(keys: Keys) -> None:
    with pytest.raises(ValueError, match="no key to verify"):
        verify_webhook(headers_of([OLD]), BODY, keys, now=NOW)


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_?", "whpk_AAAA", "whsk_AAAA"])
def test_a_malformed_key_is_the_receivers_mistake_even_beside_a_good_one(key: str) -> None:
    with pytest.raises(ValueError, match=r"secret|public key"):
        verify_webhook(headers_of([OLD]), BODY, [OLD, key], now=NOW)


def test_no_refusal_shows_a_secret() -> None:
    for told in (refused(headers_of([NEW]), BODY, [OLD, PLAIN]), refused(headers_of([OLD]), BODY, OLD, now=0)):
        assert OLD.removeprefix("whsec_") not in told
        assert PLAIN not in told
