import hmac
import time
from base64 import b64encode
from datetime import UTC, datetime
from email.message import Message
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from duly.domain.webhook_key_pair import make_key_pair
from duly.domain.webhook_secret import check_secret, secret_key
from duly.webhooks.signature import (
    SignatureError,
    hex_signature,
    signature_header,
    standard_signature,
    verify_hex,
    verify_standard,
)

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
TEXT_SECRET = "It's a Secret to Everybody"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
OLD_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NEW_SIGNATURE = "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44="
UTF8_BODY = bytes.fromhex("7b226d223a2268c3a96c6c6f20f09f9a80227d")
PRIVATE_KEY = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
ASYMMETRIC_SIGNATURE = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
# Made once with the published library (standardwebhooks 1.0.0), the asymmetric one with OpenSSL through Node.
EMPTY_OLD = "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="
EMPTY_NEW = "v1,KuvzREA2rWvVgLEukFWq/dLjSXFGHk2czOb6wc5I51o="
EMPTY_ASYMMETRIC = "v1a,B7QTtBWn3FCmEgaIAxfHcTQsVTvrObbZrn2ZpDIJT+aUREdLmLcUDsy+BgzSHOSWZ5c+W5sPYk5UnuCxv79UCQ=="


def signed(*secrets: str, body: bytes = BODY, timestamp: int = TIMESTAMP) -> dict[str, str]:
    signature = standard_signature(secrets, message_id=MESSAGE_ID, timestamp=timestamp, body=body)
    return {"Webhook-Id": MESSAGE_ID, "Webhook-Timestamp": str(timestamp), "WEBHOOK-SIGNATURE": signature}


@pytest.mark.parametrize(
    ("secrets", "body", "signature"),
    [
        ([OLD], BODY, OLD_SIGNATURE),
        ([NEW, OLD], BODY, f"{NEW_SIGNATURE} {OLD_SIGNATURE}"),
        ([OLD], UTF8_BODY, "v1,4v3VJ8kaM+dsLKM5yX5YwZicZhMZNUmIj/mYGlu85FA="),
        ([NEW, OLD], b"", f"{EMPTY_NEW} {EMPTY_OLD}"),
    ],
)
def test_the_published_vectors_hold(secrets: list[str], body: bytes, signature: str) -> None:
    assert standard_signature(secrets, message_id=MESSAGE_ID, timestamp=TIMESTAMP, body=body) == signature


@pytest.mark.parametrize(
    ("secrets", "body", "signature"),
    [
        ([], BODY, ASYMMETRIC_SIGNATURE),
        ([], b"", EMPTY_ASYMMETRIC),
        ([NEW, OLD], BODY, f"{NEW_SIGNATURE} {OLD_SIGNATURE} {ASYMMETRIC_SIGNATURE}"),
    ],
)
def test_the_published_vectors_of_the_asymmetric_signature_hold(
    secrets: list[str], body: bytes, signature: str
) -> None:
    made = signature_header(secrets, [PRIVATE_KEY], message_id=MESSAGE_ID, timestamp=TIMESTAMP, body=body)
    assert made == signature


def test_all_secrets_sign_before_all_private_keys_each_in_the_order_given() -> None:
    pairs = [make_key_pair(), make_key_pair()]
    private = [pair.private for pair in pairs]
    made = signature_header([NEW, OLD], private, message_id=MESSAGE_ID, timestamp=TIMESTAMP, body=BODY).split()
    alone = [signature_header([], [key], message_id=MESSAGE_ID, timestamp=TIMESTAMP, body=BODY) for key in private]
    assert made == [NEW_SIGNATURE, OLD_SIGNATURE, *alone]


def test_a_webhook_is_never_left_unsigned() -> None:
    with pytest.raises(ValueError, match="needs a secret or a private key"):
        signature_header([], [], message_id=MESSAGE_ID, timestamp=TIMESTAMP, body=BODY)


def test_the_vector_of_the_hexadecimal_signature_holds() -> None:
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert hex_signature(TEXT_SECRET, b"Hello, World!") == expected
    verify_hex(TEXT_SECRET, expected, b"Hello, World!")


def test_a_whsec_secret_is_base64_with_or_without_padding_and_any_other_is_its_text() -> None:
    assert secret_key("whsec_AAEC/w==") == secret_key("whsec_AAEC/w") == b"\x00\x01\x02\xff"
    assert secret_key("geheim-ü") == b"geheim-\xc3\xbc"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_===", "whsec_a", "whsec_no base64", "whsec_AAEC_w", "whsec_é"])
def test_a_secret_that_stands_for_nothing_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="secret") as raised:
        secret_key(secret)
    assert secret.removeprefix("whsec_") in {"", "a"} or secret.removeprefix("whsec_") not in str(raised.value)


PADDED = "A secret that begins with whsec_ must be padded base64: "
BEGINS = "A secret in base64 must begin with whsec_ itself, in lower case: remove what precedes it."
PAIRS = "A secret must not be a key of a pair (whsk_, whpk_)."
EDGES_OF_SECRET = "A secret must not begin or end with white space."
NOT_TAKEN = {
    "whsec_AAEC/w": PADDED + 'add "==" at its end.',
    "whsec_AAEC/w=": PADDED + 'add "=" at its end.',
    "whsec_AAEC/wA": PADDED + 'add "=" at its end.',
    "whsec_AAEC/w===": PADDED + 'remove "=" at its end.',
    "whsec_AAEC=": PADDED + 'remove "=" at its end.',
    "whsec_AAEC/x==": "A secret that begins with whsec_ must be base64 without trailing bits in its last digit.",
    "whsec_AAEC_w==": "A secret that begins with whsec_ must continue in base64.",
    "whsec_AAEC/w==\n": EDGES_OF_SECRET,
    " whsec_AAEC/w==": EDGES_OF_SECRET,
    "\ufeffwhsec_AAEC/w==": EDGES_OF_SECRET,
    "It's a Secret\n": EDGES_OF_SECRET,
    "\u00a0It's a Secret": EDGES_OF_SECRET,
    "v1,whsec_AAEC/w==": BEGINS,
    "v1, whsec_AAEC/w==": BEGINS,
    "v1a,whsec_AAEC/w==": BEGINS,
    "V1,WHSEC_AAEC/w==": BEGINS,
    "WHSEC_AAEC/w==": BEGINS,
    "Whsec_AAEC/w==": BEGINS,
    '"whsec_AAEC/w=="': BEGINS,
    "Bearer whsec_AAEC/w==": BEGINS,
    "secret=whsec_AAEC/w==": BEGINS,
    "v1a,whsk_AAEC/w==": PAIRS,
    "v1a,whpk_AAEC/w==": PAIRS,
    "WHPK_AAEC/w==": PAIRS,
    "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=": "A secret must not begin with v1, as signatures do.",
    "v1a,K5oZ": "A secret must not begin with v1, as signatures do.",
    "": "A secret must not be empty.",
    "whsec_": "A secret must not be empty.",
}


@pytest.mark.parametrize("secret", NOT_TAKEN)
def test_a_new_secret_that_libraries_read_otherwise_is_refused_with_what_to_change(secret: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as raised:
        check_secret(secret)
    assert str(raised.value) == NOT_TAKEN[secret]


@pytest.mark.parametrize(
    "secret", ["whsec_AAEC", "whsec_AAEC/w==", "whsec_AAEC/wA=", OLD, TEXT_SECRET, "geheim-ü", "v1", "mywhsec_x", "a=="]
)
def test_a_secret_that_means_the_same_to_everyone_is_taken(secret: str) -> None:
    check_secret(secret)


@given(key=st.binary(min_size=1, max_size=80))
def test_every_key_is_taken_in_padded_base64_and_in_no_other_length(key: bytes) -> None:
    secret = f"whsec_{b64encode(key).decode()}"
    check_secret(secret)
    for changed in (secret + "=", secret.rstrip("=")):
        if changed != secret:
            with pytest.raises(ValueError, match="padded base64"):
                check_secret(changed)


def test_a_secret_that_was_taken_without_its_padding_goes_on_signing() -> None:
    assert secret_key("whsec_AAEC/w") == secret_key("whsec_AAEC/w==")


@pytest.mark.parametrize("key", [PRIVATE_KEY, "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="])
def test_a_key_of_a_pair_is_no_secret_for_whoever_knows_the_public_one_could_sign(key: str) -> None:
    with pytest.raises(ValueError, match="keys of a pair") as raised:
        secret_key(key)
    assert key not in str(raised.value)


@pytest.mark.parametrize("body", [BODY, UTF8_BODY, b"{}"])
def test_the_published_library_verifies_what_is_signed_here(body: bytes) -> None:
    headers = signed(NEW, OLD, body=body, timestamp=int(time.time()))
    Webhook(OLD).verify(body, headers)
    Webhook(NEW).verify(body, headers)
    # The library reads every secret as base64, so a plain text is handed to it in that form.
    headers = signed(TEXT_SECRET, body=body, timestamp=int(time.time()))
    Webhook(b64encode(TEXT_SECRET.encode()).decode()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body, headers)


def test_what_the_published_library_signs_is_verified_here() -> None:
    signature = Webhook(OLD).sign(MESSAGE_ID, datetime.fromtimestamp(TIMESTAMP, UTC), UTF8_BODY.decode())
    verify_standard(OLD, signed(OLD) | {"WEBHOOK-SIGNATURE": signature}, UTF8_BODY, now=TIMESTAMP)


def test_an_empty_body_is_signed_and_verified() -> None:
    verify_standard(OLD, signed(OLD, body=b""), b"", now=TIMESTAMP)
    Webhook(OLD).verify("", signed(OLD, body=b"", timestamp=int(time.time())), json_parse=False)
    verify_hex(OLD, hex_signature(OLD, b""), b"")


@given(secret=st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text[:2] != "wh"), body=st.binary())
def test_any_secret_and_body_verify_with_themselves_alone(secret: str, body: bytes) -> None:
    verify_standard(secret, signed(secret, body=body), body, now=TIMESTAMP)
    verify_hex(secret, hex_signature(secret, body), body)
    with pytest.raises(SignatureError):
        verify_standard(secret, signed(secret, body=body), body + b"x", now=TIMESTAMP)
    with pytest.raises(SignatureError):
        verify_hex(secret + "x", hex_signature(secret, body), body)


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).filter(lambda text: text[:2] != "wh"),
    body=st.binary(),
)
@example(secret="k" * 64, body=b"")
@example(secret="k" * 65, body=b"")
def test_a_signature_is_the_standard_hmac_for_keys_of_any_length(secret: str, body: bytes) -> None:
    assert hex_signature(secret, body) == f"sha256={hmac.new(secret.encode(), body, sha256).hexdigest()}"


def test_a_receiver_verifies_with_the_old_and_with_the_new_secret_while_it_is_rotated() -> None:
    headers = signed(NEW, OLD)
    verify_standard(OLD, headers, BODY, now=TIMESTAMP)
    verify_standard(NEW, headers, BODY, now=TIMESTAMP)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_webhook_too_old_or_too_new_is_refused(seconds: int) -> None:
    verify_standard(OLD, signed(OLD), BODY, now=TIMESTAMP + seconds // 301 * 300)
    with pytest.raises(SignatureError, match="more than 300 seconds"):
        verify_standard(OLD, signed(OLD), BODY, now=TIMESTAMP + seconds)
    verify_standard(OLD, signed(OLD), BODY, now=TIMESTAMP + seconds, tolerance_seconds=400)


def test_now_is_the_clock_where_it_is_not_given() -> None:
    verify_standard(OLD, signed(OLD, timestamp=int(time.time())), BODY)
    with pytest.raises(SignatureError, match="more than 300 seconds"):
        verify_standard(OLD, signed(OLD), BODY)


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE"])
def test_a_missing_header_is_named(name: str) -> None:
    headers = {key: value for key, value in signed(OLD).items() if key != name}
    with pytest.raises(SignatureError, match=f"{name.lower()} is missing"):
        verify_standard(OLD, headers, BODY, now=TIMESTAMP)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_there_twice_is_refused(name: str) -> None:
    twice = [*signed(OLD).items(), (name, "another")]
    with pytest.raises(SignatureError, match=f"{name} occurs twice"):
        verify_standard(OLD, twice, BODY, now=TIMESTAMP)


def test_headers_come_as_a_mapping_as_pairs_or_as_a_message() -> None:
    message = Message()
    for name, value in signed(OLD).items():
        message[name] = value
    for headers in (signed(OLD), list(signed(OLD).items()), message):
        verify_standard(OLD, headers, BODY, now=TIMESTAMP)


def test_of_signatures_no_more_are_looked_at_than_any_rotation_needs() -> None:
    many = " ".join(["v1,bm8="] * 19)
    verify_standard(OLD, signed(OLD) | {"WEBHOOK-SIGNATURE": f"{many} {OLD_SIGNATURE}"}, BODY, now=TIMESTAMP)
    with pytest.raises(SignatureError, match="more than 20 signatures"):
        verify_standard(OLD, signed(OLD) | {"WEBHOOK-SIGNATURE": f"{many} v2,x {OLD_SIGNATURE}"}, BODY, now=TIMESTAMP)


@pytest.mark.parametrize("text", ["", " ", "now", "-1614265330", "1614265330.0", "1_614_265_330", "١٦١٤", "9" * 5000])
def test_a_timestamp_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(SignatureError, match=r"is missing|is not a number"):
        verify_standard(OLD, signed(OLD) | {"Webhook-Timestamp": text}, BODY, now=TIMESTAMP)


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Id": "another"},
        {"Webhook-Id": "\udcff"},
        {"Webhook-Timestamp": str(TIMESTAMP + 1)},
        {"WEBHOOK-SIGNATURE": OLD_SIGNATURE.removeprefix("v1,")},
        {"WEBHOOK-SIGNATURE": OLD_SIGNATURE.replace("v1,", "v1a,")},
        {"WEBHOOK-SIGNATURE": "v1,"},
        {"WEBHOOK-SIGNATURE": "v1,\udcff é"},
        {"WEBHOOK-SIGNATURE": NEW_SIGNATURE},
    ],
)
def test_nothing_signed_may_be_changed(change: dict[str, str]) -> None:
    with pytest.raises(SignatureError, match="No signature"):
        verify_standard(OLD, signed(OLD) | change, BODY, now=TIMESTAMP)


@pytest.mark.parametrize("header", ["", "sha256=", "757107ea", "sha1=757107ea", "sha256=\udcff", "é"])
def test_a_header_that_is_not_the_signature_is_refused(header: str) -> None:
    with pytest.raises(SignatureError, match="does not match"):
        verify_hex(TEXT_SECRET, header, b"Hello, World!")
