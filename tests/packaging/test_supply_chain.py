"""The supply chain: licences, locks with hashes, the audit's words, and a container without rights."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import check_advisories, licences

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def test_the_page_of_licences_is_what_the_installed_packages_declare() -> None:
    assert licences.PAGE.read_text() == licences.page(), "run: python -m tests.licences"


@pytest.mark.parametrize("name", licences.locked_packages())
def test_each_licence_permits_any_use(name: str) -> None:
    licence = licences.licence_of(name)
    assert licence is None or licences.alternatives(licence) <= licences.PERMITTED, licence


@pytest.mark.parametrize(("name", "version", "licence"), licences.vendored_packages())
def test_each_vendored_package_permits_any_use(name: str, version: str, licence: str) -> None:
    assert licences.alternatives(licence) <= licences.PERMITTED, (name, version)


@pytest.mark.parametrize("lock", LOCKS, ids=[lock.stem for lock in LOCKS])
def test_every_locked_package_has_a_hash(lock: Path) -> None:
    packages = re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    assert packages
    assert [package for package in packages if "--hash=sha256:" not in package] == []


def test_every_dependency_is_explained() -> None:
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    for name in ("cyclonedx-bom", "pip-audit"):
        assert f"| {name} |" in explained


def _report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(packages)})


GOOD = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found"}
FOUND = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("output", "words", "code"),
    [
        ("", "the advisory service cannot be reached: the dependencies were not audited", 0),
        (_report(SKIPPED), "the advisory service cannot be reached: the dependencies were not audited", 0),
        (_report(GOOD), "no known vulnerability in 1 packages", 0),
        (_report(GOOD, SKIPPED), "without advisories, because the service does not know them: b", 1),
        (_report(GOOD, FOUND, SKIPPED), "c 2: PYSEC-1, fixed in 3", 1),
    ],
)
def test_an_audit_says_what_it_found_or_that_it_was_none(output: str, words: str, code: int) -> None:
    assert check_advisories.report_of(output) == (words, code)


def test_the_container_has_no_rights_and_a_read_only_root() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("duly", "migrate"):
        assert services[name]["read_only"] is True
        assert services[name]["tmpfs"] == "/tmp"  # noqa: S108  # of the container
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    last = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1]
    users = re.findall(r"^USER (.*)$", last, re.MULTILINE)
    assert users == ["10001"]
