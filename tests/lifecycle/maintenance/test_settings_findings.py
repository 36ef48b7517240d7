"""Settings that contradict each other are told with a remedy; the defaults do not."""

from typing import Any

import pytest

from duly.lifecycle.maintenance.settings_findings import needs_public_url, settings_findings
from duly.settings import Settings

KEYS = {"secret_keys": f"k1:{'A' * 43}="}


def test_the_defaults_contradict_nothing() -> None:
    assert settings_findings(Settings()) == []


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"webhook_connect_seconds": 20}, ["DULY_WEBHOOK_CONNECT_SECONDS", "DULY_WEBHOOK_TIMEOUT_SECONDS"]),
        ({"parameters_limit": 2 << 20}, ["DULY_PARAMETERS_LIMIT", "DULY_BODY_LIMIT"]),
        ({"body_limit": 16 << 20}, ["DULY_BODY_LIMIT", "DULY_BATCH_BODY_LIMIT"]),
        ({"stream_limit": 20_000}, ["DULY_STREAM_LIMIT", "DULY_CONNECTION_LIMIT"]),
        ({"connections_per_address": 20_000}, ["DULY_CONNECTIONS_PER_ADDRESS", "DULY_CONNECTION_LIMIT"]),
        ({"submit_burst": 10}, ["DULY_SUBMIT_BURST", "DULY_SUBMIT_RATE"]),
        ({"transaction_pooling": True}, ["DULY_TRANSACTION_POOLING", "DULY_DATABASE_URL"]),
        ({"retention_days": 1}, ["DULY_RETENTION_DAYS", "DULY_WEBHOOK_RETRY_SECONDS"]),
    ],
)
def test_a_contradiction_names_both_settings(chosen: dict[str, Any], names: list[str]) -> None:
    (found,) = settings_findings(Settings(**chosen))
    assert found.code == "SETTINGS_CONTRADICT"
    for name in names:
        assert name in found.reason + found.remedy


def test_secret_keys_of_a_service_for_other_machines_must_be_set() -> None:
    (found,) = settings_findings(Settings(host="0.0.0.0"))
    assert (found.code, "DULY_SECRET_KEYS" in found.remedy) == ("SECRET_KEYS_UNSET", True)
    assert settings_findings(Settings(host="0.0.0.0", **KEYS)) == []  # type: ignore[arg-type]  # the text of a secret


def test_a_variable_that_is_no_setting_is_told() -> None:
    (found,) = settings_findings(Settings(), unknown=["DULY_WORKER_SLOT"])
    assert (found.code, found.reason) == ("SETTING_UNKNOWN", "DULY_WORKER_SLOT is not a setting.")


@pytest.mark.parametrize(
    ("chosen", "needed"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"port": 0}, True),
        ({"host": "0.0.0.0"}, True),
        ({"trusted_proxies": ("127.0.0.0/8",)}, True),
        ({"host": "0.0.0.0", "public_url": "https://jobs.example.com"}, False),
    ],
)
def test_links_need_a_public_url_unless_people_reach_the_service_on_loopback(
    chosen: dict[str, Any], *, needed: bool
) -> None:
    assert needs_public_url(Settings(**chosen)) is needed
