"""Text of API keys: form, checksum and digest."""

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from duly.domain.api_key import generate_key, parse_key

FORM = re.compile(r"duly_[0-9A-Za-z]{16}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}")


def test_a_generated_key_has_the_form_that_secret_scanners_match() -> None:
    keys = {generate_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(FORM.fullmatch(key) for key in keys)


def test_a_key_is_parsed_into_its_id_and_the_digest_of_its_secret() -> None:
    text = generate_key()
    key = parse_key(text.encode())
    assert key is not None
    assert key.key_id == text[5:21]
    assert key.digest == hashlib.sha256(text[22:65].encode()).digest()


def test_a_key_with_any_character_changed_is_refused() -> None:
    text = generate_key()
    for place, character in enumerate(text):
        other = "a" if character != "a" else "b"
        assert parse_key((text[:place] + other + text[place + 1 :]).encode()) is None, place


@given(st.binary(max_size=100))
def test_other_bytes_are_no_key(text: bytes) -> None:
    assert parse_key(text) is None


def test_a_longer_or_shorter_text_is_no_key() -> None:
    text = generate_key()
    for wrong in (text[:-1], text + "a", f" {text}", f"{text}\n", text.upper(), text.replace("duly_", "duly-")):
        assert parse_key(wrong.encode()) is None, wrong
