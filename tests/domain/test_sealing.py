"""Sealing: what is stored of a secret, who opens it, and how keys are spelled."""

from base64 import b64encode

import pytest

from duly.domain.job_template import with_secret
from duly.domain.sealing import CannotUnseal, InvalidKeys, Keyring, key_id_of, new_key, parse_keys
from duly.settings import Settings

OLD, NEW = "old:" + b64encode(b"o" * 32).decode(), "new:" + b64encode(b"n" * 32).decode()
SECRET = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD "Zoë" 🔑'


def seal(ring: Keyring, text: str = SECRET) -> str:
    return ring.seal(text, tenant_id=1, purpose="callback")


def unseal(ring: Keyring, sealed: str) -> str:
    return ring.unseal(sealed, tenant_id=1, purpose="callback")


@pytest.mark.parametrize("text", [SECRET, "s", "x" * 512, "sealed:old:AAAA", ""])
def test_what_is_sealed_opens_again_and_shows_nothing(text: str) -> None:
    ring = Keyring.read(OLD)
    sealed = seal(ring, text)
    assert unseal(ring, sealed) == text
    assert unseal(Keyring.read(OLD), sealed) == text
    assert key_id_of(sealed) == "old"
    assert len(text) < 3 or text not in sealed


def test_a_sealed_text_is_sealed_like_any_other() -> None:
    """Checks that a client cannot send a text that would be taken for a sealed one."""
    ring = Keyring.read(OLD)
    sealed = seal(ring)
    again = seal(ring, sealed)
    assert again != sealed
    assert unseal(ring, again) == sealed


def test_the_first_key_seals_and_all_of_them_open() -> None:
    before = seal(Keyring.read(OLD))
    ring = Keyring.read(f"{NEW},{OLD}")
    assert key_id_of(seal(ring)) == "new"
    assert unseal(ring, before) == SECRET
    assert ring.ids == {"new", "old"}


def test_no_two_rings_seal_alike() -> None:
    assert seal(Keyring.read(OLD)) != seal(Keyring.read(OLD))


def test_it_opens_for_its_tenant_and_its_purpose_only() -> None:
    ring = Keyring.read(OLD)
    sealed = seal(ring)
    with pytest.raises(CannotUnseal, match='cannot be decrypted with the key "old"'):
        ring.unseal(sealed, tenant_id=2, purpose="callback")
    with pytest.raises(CannotUnseal, match='cannot be decrypted with the key "old"'):
        ring.unseal(sealed, tenant_id=1, purpose="endpoint")


def test_what_was_changed_does_not_open_and_the_error_holds_no_secret() -> None:
    ring = Keyring.read(OLD)
    sealed = seal(ring)
    place = len(sealed) - 5
    changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
    with pytest.raises(CannotUnseal) as caught:
        unseal(ring, changed)
    assert SECRET not in str(caught.value)
    assert changed not in str(caught.value)


def test_a_missing_key_is_named() -> None:
    sealed = seal(Keyring.read(OLD))
    with pytest.raises(CannotUnseal, match='sealed with the key "old", which is not in DULY_SECRET_KEYS'):
        unseal(Keyring.read(NEW), sealed)


@pytest.mark.parametrize(
    "text", ["", "in clear", "sealed:", "sealed:old:", "sealed:old:short", "sealed:a b:" + "A" * 40]
)
def test_what_is_not_sealed_is_told_apart_and_never_repeated(text: str) -> None:
    assert key_id_of(text) is None
    with pytest.raises(CannotUnseal) as caught:
        unseal(Keyring.read(OLD), text)
    assert not text or text not in str(caught.value)


def test_sealing_anew_takes_the_first_key_and_leaves_what_has_it() -> None:
    ring = Keyring.read(f"{NEW},{OLD}")
    for text in (seal(Keyring.read(OLD)), SECRET):
        anew = ring.reseal(text, tenant_id=1, purpose="callback")
        assert key_id_of(anew) == "new"
        assert unseal(Keyring.read(NEW), anew) == SECRET
        assert ring.reseal(anew, tenant_id=1, purpose="callback") == anew
    with pytest.raises(CannotUnseal):
        Keyring.read(NEW).reseal(seal(Keyring.read(OLD)), tenant_id=1, purpose="callback")


def test_a_kept_job_is_sealed_anew_and_else_stays_as_it_is() -> None:
    kept = '{"type":"echo","parameters":"{\\"callback_secret\\":\\"sealed:x:y\\"}","callback_secret":"a","later":1.0}'
    assert with_secret(kept, lambda secret: secret) == kept
    assert with_secret(kept, lambda secret: secret + "b") == kept.replace('"a"', '"ab"')


def test_a_proof_tells_two_keys_of_one_id_apart() -> None:
    proof = Keyring.read(OLD).proof()
    assert Keyring.read(OLD).proves(proof)
    assert Keyring.read(f"{NEW},{OLD}").proves(proof)
    assert not Keyring.read("old:" + b64encode(b"x" * 32).decode()).proves(proof)


def test_a_new_key_is_one_and_another_each_time() -> None:
    assert list(parse_keys(new_key("k-2026.1_b"))) == ["k-2026.1_b"]
    assert new_key().split(":")[0] != new_key().split(":")[0]
    assert new_key("k") != new_key("k")
    with pytest.raises(InvalidKeys, match="1 to 32 letters"):
        new_key("a b")


KEY = b64encode(b"k" * 32).decode()
WRONG = {
    "no id": (KEY, "entry 1 must be `id:key`"),
    "nothing": ("", "entry 1 must be `id:key`"),
    "the wrong way round": (f"a:{KEY},{KEY}:b", "entry 2 must be `id:key`"),
    "an end too many": (f"a:{KEY},", "entry 2 must be `id:key`"),
    "an id twice": (f"a:{KEY},a:{KEY}", '"a" occurs twice'),
    "no base64": (f"a:{KEY[:-3]}*k=", '"a" is not base64'),
    "too short": (f"a:{b64encode(b'k' * 31).decode()}", '"a" must have 32 bytes, not 31'),
    "no key": ("a:", '"a" must have 32 bytes, not 0'),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_spells_no_keys_is_refused_without_a_word_of_them(text: str, says: str) -> None:
    with pytest.raises(InvalidKeys) as caught:
        parse_keys(text)
    assert says in str(caught.value)
    assert "a2tra2tr" not in str(caught.value)


def test_blanks_around_keys_mean_nothing() -> None:
    assert parse_keys(f" a : {KEY} ,\n b:{KEY}\n") == {"a": b"k" * 32, "b": b"k" * 32}


def test_settings_and_rings_do_not_print_their_keys() -> None:
    settings = Settings.model_validate({"secret_keys": f"a:{KEY}"})
    assert KEY not in repr(settings)
    assert KEY not in repr(vars(Keyring.read(f"a:{KEY}")))
