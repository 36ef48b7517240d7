from base64 import b64decode, b64encode, urlsafe_b64decode
from typing import Any

import pytest

from duly.domain.webhook_key_pair import (
    is_signed,
    key_id,
    make_key_pair,
    public_key_of,
    public_keys_of_jwks,
    sign,
    to_jwk,
)

PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
SEED_ALONE = "whsk_" + b64encode(b64decode(PRIVATE.removeprefix("whsk_"))[:32]).decode()
# The key of RFC 8037, appendix A.
RFC_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_PRIVATE = "whsk_" + b64encode(urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")).decode()
RFC_PUBLIC = "whpk_" + b64encode(urlsafe_b64decode(RFC_X + "=")).decode()


def test_a_new_pair_signs_and_verifies_and_no_two_are_alike() -> None:
    pair, other = make_key_pair(), make_key_pair()
    assert pair != other
    assert public_key_of(pair.private) == pair.public
    assert len(b64decode(pair.private.removeprefix("whsk_"))) == 64
    signature = sign(pair.private, b"content")
    assert is_signed(pair.public, b"content", signature)
    assert not is_signed(pair.public, b"another", signature)
    assert not is_signed(other.public, b"content", signature)
    assert not is_signed(pair.public, b"content", b"")


def test_a_private_key_is_the_seed_with_or_without_the_public_half() -> None:
    assert public_key_of(PRIVATE) == public_key_of(SEED_ALONE) == public_key_of(PRIVATE.rstrip("=")) == PUBLIC
    assert sign(PRIVATE, b"content") == sign(SEED_ALONE, b"content")


def test_a_pair_that_is_printed_does_not_show_its_private_key() -> None:
    pair = make_key_pair()
    assert pair.private not in repr(pair)
    assert pair.public in repr(pair)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsk_",
        "whsk_AAAA",
        "whsk_no base64",
        "whsk_é",
        PRIVATE.removeprefix("whsk_"),
        PRIVATE.replace("whsk_", "whsec_"),
        PUBLIC,
        "whsk_" + b64encode(bytes(64)).decode(),  # a public half of another seed
    ],
)
def test_what_is_no_private_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="private key") as raised:
        sign(text, b"content")
    assert len(text) < 10 or text.removeprefix("whsk_") not in str(raised.value)


@pytest.mark.parametrize("text", ["", "whpk_", "whpk_AAAA", "whpk_é", PRIVATE, PUBLIC.removeprefix("whpk_")])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="public key"):
        is_signed(text, b"content", bytes(64))
    with pytest.raises(ValueError, match="public key"):
        to_jwk(text)


def test_the_example_of_rfc_8037_holds() -> None:
    assert public_key_of(RFC_PRIVATE) == RFC_PUBLIC
    assert to_jwk(RFC_PUBLIC) == {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": "EdDSA",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "x": RFC_X,
    }
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg=="
    assert sign(RFC_PRIVATE, signed) == urlsafe_b64decode(expected)


def test_a_jwks_gives_the_keys_that_were_put_in() -> None:
    public_keys = [make_key_pair().public for _ in range(3)]
    assert public_keys_of_jwks({"keys": [to_jwk(public) for public in public_keys]}) == public_keys
    assert len({key_id(public) for public in public_keys}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "EC"},
        {"crv": "X25519"},
        {"use": "enc"},
        {"alg": "ES256"},
        {"alg": ["EdDSA"]},
        {"x": None},
        {"x": "AAAA"},
        {"x": "é"},
    ],
)
def test_keys_of_other_kinds_in_a_jwks_are_passed_over(change: dict[str, Any]) -> None:
    assert public_keys_of_jwks({"keys": [to_jwk(PUBLIC) | change, "none", to_jwk(RFC_PUBLIC)]}) == [RFC_PUBLIC]


def test_a_jwk_need_not_say_what_it_is_for() -> None:
    bare = {name: value for name, value in to_jwk(PUBLIC).items() if name in {"kty", "crv", "x"}}
    assert public_keys_of_jwks({"keys": [bare, to_jwk(RFC_PUBLIC) | {"alg": "Ed25519"}]}) == [PUBLIC, RFC_PUBLIC]


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": {}}, {"keys": []}])
def test_a_jwks_without_keys_has_none(jwks: dict[str, Any]) -> None:
    assert public_keys_of_jwks(jwks) == []
