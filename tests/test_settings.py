"""Settings that are refused before anything is opened."""

from typing import Any

import pytest
from pydantic import ValidationError

from duly.domain.egress_policy import parse_networks
from duly.domain.egress_ports import RECEIVER_PORTS, parse_ports
from duly.settings import Settings


def test_by_default_only_public_addresses_are_called_on_the_ports_of_receivers() -> None:
    egress = Settings().egress
    assert (egress.networks, egress.ports) == ((), RECEIVER_PORTS)


def test_networks_and_ports_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DULY_WEBHOOK_ALLOW_NETWORKS", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("DULY_WEBHOOK_PORTS", "443, 5432, 8000-8999")
    egress = Settings().egress
    assert egress.networks == parse_networks("10.0.0.0/8,fd00::/8")
    assert egress.ports == parse_ports("443,5432,8000-8999")
    assert 5432 in egress.ports and 9092 not in egress.ports


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("webhook_allow_networks", "intranet", "'intranet' is not a network"),
        ("webhook_ports", "443,http", "'http' is not a port"),
        ("webhook_ports", "9000-8000", "'9000-8000' is not a port"),
        ("webhook_secret", "whsec_AAEC/w", 'padded base64: add "==" at its end'),
        ("webhook_secret", "v1,whsec_AAEC", "must begin with whsec_ itself"),
        ("webhook_timeout_seconds", 0.05, "greater than or equal to 0.1"),
        ("webhook_connect_seconds", 0, "greater than or equal to 0.1"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_in_words(name: str, value: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(**{name: value})
