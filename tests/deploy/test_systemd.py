"""Units of systemd: accepted by systemd itself, confined, and with the settings of the service."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from deploy.monitoring.__main__ import ROOT
from duly.domain.node_role import Role
from duly.settings import SECRETS, Settings
from tests.support.node_packages import program

UNITS: Final = ROOT / "deploy" / "systemd"
SERVICES: Final = ("duly@.service", "duly-migrate.service")
# systemd's measure of what a unit may do, from 0 (nothing) to 100 (all).
MOST_EXPOSED: Final = 20


def _analyze(command: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    path = program("systemd-analyze", "units are checked by systemd: apt-get install systemd")
    return subprocess.run(
        [path, command, *arguments],
        cwd=folder,
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy of the units, whose command exists, with an instance of the template for each role."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for unit in folder.glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/duly/bin/duly", "/bin/true"))
    for role in Role:
        shutil.copy(folder / "duly@.service", folder / f"duly@{role}.service")
    return folder


def _verified(units: Path) -> str:
    """Returns what systemd says about the units; nothing if it accepts them."""
    names = [path.name for path in sorted(units.iterdir()) if path.name != "duly@.service"]
    done = _analyze("verify", "--recursive-errors=no", *(f"./{name}" for name in names), folder=units)
    return done.stdout + done.stderr


def test_systemd_accepts_every_unit(units: Path) -> None:
    assert _verified(units) == ""


def test_a_misspelt_directive_would_be_found(units: Path) -> None:
    unit = units / "duly-migrate.service"
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHomes="))
    assert "ProtectHomes" in _verified(units)


@pytest.mark.parametrize("name", ["duly@worker.service", "duly-migrate.service"])
def test_a_unit_may_do_little(units: Path, name: str) -> None:
    options = ("--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager")
    done = _analyze("security", *options, f"./{name}", folder=units)
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_variables_are_settings_and_secrets_are_credentials(name: str) -> None:
    text = (UNITS / name).read_text()
    loaded = dict(re.findall(r"^LoadCredential=([\w-]+):(/etc/duly/secrets/[\w-]+)$", text, re.MULTILINE))
    variables = dict(re.findall(r"(DULY_\w+)=(\S+)", "\n".join(re.findall(r"^Environment=.*$", text, re.MULTILINE))))
    files = {name: value for name, value in variables.items() if name.endswith("_FILE")}
    assert files.keys() <= {f"DULY_{name.upper()}_FILE" for name in SECRETS}
    assert {value.removeprefix("%d/") for value in files.values()} == loaded.keys()
    assert variables.keys() - files.keys() <= {f"DULY_{name.upper()}" for name in Settings.model_fields}


def test_a_process_may_drain_before_it_is_killed() -> None:
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", (UNITS / "duly@.service").read_text(), re.MULTILINE)
    assert int(seconds) >= Settings.model_fields["shutdown_grace_seconds"].default + 10
