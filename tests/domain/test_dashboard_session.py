"""Sessions of the dashboard as text: signed, and good until they expire."""

import pytest

from duly.domain.dashboard_session import DashboardSession, read_session, write_session
from duly.domain.sealing import Keyring, new_key

SESSION = DashboardSession("0123456789abcdef", bytes(range(32)), expires_at=1_000_000)
OLD, NEW = new_key("old"), new_key("new")


def test_a_session_is_read_until_it_expires() -> None:
    ring = Keyring.read(NEW)
    text = write_session(SESSION, ring)
    assert read_session(text, ring, now=999_999) == SESSION
    assert read_session(text, ring, now=1_000_000) is None


def test_a_session_survives_a_rotation_of_the_keyring_until_its_key_is_removed() -> None:
    text = write_session(SESSION, Keyring.read(OLD))
    assert read_session(text, Keyring.read(f"{NEW},{OLD}"), now=0) == SESSION
    assert read_session(text, Keyring.read(NEW), now=0) is None


def test_no_character_of_a_session_can_be_changed() -> None:
    ring = Keyring.read(NEW)
    text = write_session(SESSION, ring)
    for place, character in enumerate(text):
        other = "A" if character != "A" else "B"
        assert read_session(text[:place] + other + text[place + 1 :], ring, now=0) is None, place


@pytest.mark.parametrize("text", ["", "A", "A" * 64, "A" * 500, "ä" * 90, "=" * 90])
def test_no_other_text_is_a_session(text: str) -> None:
    assert read_session(text, Keyring.read(NEW), now=0) is None
