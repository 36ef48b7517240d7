"""Ids of leases: signed, bound to a tenant, and exact."""

from string import ascii_letters, digits

from hypothesis import given
from hypothesis import strategies as st

from duly.domain.ids import new_job_id
from duly.domain.lease_id import Lease, read_lease_id, write_lease_id
from duly.domain.sealing import Keyring, new_key

KEYRING = Keyring.read(new_key("a"))
LEASE = Lease(7, new_job_id(), 3, 2, 5, "thumbnail/large")


def test_an_id_names_the_attempt_to_its_tenant_alone() -> None:
    text = write_lease_id(LEASE, KEYRING)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert read_lease_id(text, KEYRING, tenant_id=7) == LEASE
    assert read_lease_id(text, KEYRING, tenant_id=8) is None


def test_no_changed_character_is_accepted() -> None:
    text = write_lease_id(LEASE, KEYRING)
    for index, character in enumerate(text):
        changed = text[:index] + ("A" if character != "A" else "B") + text[index + 1 :]
        assert read_lease_id(changed, KEYRING, tenant_id=7) is None
    for job_type in ("a", "ab", "abc"):
        text = write_lease_id(LEASE._replace(type=job_type), KEYRING)
        for last in set(ascii_letters + digits + "-_=+/") - {text[-1]}:
            assert read_lease_id(text[:-1] + last, KEYRING, tenant_id=7) is None
    for changed in (text + "=", text + "\n", text[:-1], " " + text, text.replace("-", "+")):
        assert changed == text or read_lease_id(changed, KEYRING, tenant_id=7) is None


def test_an_id_outlives_a_new_key_as_long_as_the_old_one_is_kept() -> None:
    first, second = new_key("a"), new_key("b")
    text = write_lease_id(LEASE, Keyring.read(first))
    assert read_lease_id(text, Keyring.read(f"{second},{first}"), tenant_id=7) == LEASE
    assert read_lease_id(text, Keyring.read(second), tenant_id=7) is None


@given(st.text(max_size=600))
def test_no_other_text_is_an_id(text: str) -> None:
    assert read_lease_id(text, KEYRING, tenant_id=7) is None
