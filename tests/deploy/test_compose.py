"""Compose files: accepted by Compose, with the settings of the service, and all files that they mount."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.monitoring.__main__ import ROOT
from duly.domain.node_role import Role
from duly.settings import SECRETS, Settings
from tests.deploy.test_monitoring import promtool
from tests.support.node_packages import program

FOLDER: Final = ROOT / "deploy" / "compose"
CLUSTER: Final = FOLDER / "compose.yaml"
GIVEN: Final = {
    "DULY_API_KEY": "any",
    "DULY_SECRET_KEYS": "any",
    "POSTGRES_PASSWORD": "any",
    "SHOP_WEBHOOK_SECRET": "any",
}
# The cluster has one database, whose URL is in a file.
OF_ONE_DATABASE: Final = [name for name in SECRETS if name != "cells"]
CONFINED: Final = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def _services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(CLUSTER.read_text())["services"]
    return services


def _ours() -> dict[str, Any]:
    return {name: service for name, service in _services().items() if "build" in service}


def _compose(file: Path) -> "subprocess.CompletedProcess[str]":
    command = program("docker-compose", "compose files are checked by Compose: apt-get install docker-compose")
    return subprocess.run(
        [command, "--file", str(file), "config", "--quiet"],
        env=os.environ | GIVEN,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("file", [CLUSTER, ROOT / "docker-compose.yml", ROOT / "examples/tutorial/compose.yaml"])
def test_compose_accepts_each_file(file: Path) -> None:
    done = _compose(file)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_misspelt_member_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(CLUSTER.read_text().replace("stop_grace_period", "stop_grace_perod"))
    done = _compose(tmp_path / "compose.yaml")
    assert done.returncode == 1
    assert "stop_grace_perod" in done.stderr


def test_our_processes_are_confined_and_have_their_secrets_in_files() -> None:
    files = {f"DULY_{name.upper()}_FILE" for name in OF_ONE_DATABASE}
    others = {f"DULY_{name.upper()}" for name in Settings.model_fields if name not in SECRETS}
    for service in _ours().values():
        assert CONFINED.items() <= service.items()
        variables = service["environment"]
        assert files <= variables.keys() <= files | others
        assert {variables[name] for name in files} == {f"/run/secrets/{name}" for name in service["secrets"]}


def test_the_cluster_has_two_api_nodes_and_every_role() -> None:
    commands = {name: service["command"] for name, service in _ours().items()}
    assert commands.pop("migrate") == ["migrate"]
    roles = [role for command in commands.values() for role in command[2::2]]
    assert set(roles) == set(Role)
    assert roles.count(Role.API) == 2


def test_every_mounted_file_exists_and_every_secret_is_made() -> None:
    composed = yaml.safe_load(CLUSTER.read_text())
    mounts = [mount for service in composed["services"].values() for mount in service.get("volumes", [])]
    sources = [mount.partition(":")[0] for mount in mounts if mount.startswith(".")]
    assert all((FOLDER / source).exists() for source in sources)
    assert len(sources) > 4
    script = (FOLDER / "make-secrets").read_text()
    made = re.findall(r"^write ([\w-]+) ", script, re.MULTILINE)
    assert sorted(made) == sorted(composed["secrets"])


def test_the_script_makes_secrets_that_the_settings_accept_and_keeps_them(tmp_path: Path) -> None:
    program("openssl", "secrets are made by OpenSSL: apt-get install openssl")
    script = tmp_path / "make-secrets"
    script.write_text((FOLDER / "make-secrets").read_text())
    made = []
    for _ in range(2):
        subprocess.run(["sh", str(script)], check=True, capture_output=True, timeout=300)
        files = {name: tmp_path / "secrets" / name.replace("_", "-") for name in OF_ONE_DATABASE}
        made.append({name: file.read_text().strip() for name, file in files.items()})
    Settings(**made[0])  # type: ignore[arg-type]  # texts are validated
    assert made[0] == made[1]


def test_prometheus_scrapes_every_process_and_loads_the_alerts(tmp_path: Path) -> None:
    configured = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    [job] = configured["scrape_configs"]
    [names] = [one["names"] for one in job["dns_sd_configs"]]
    assert job["job_name"] == "duly"
    assert set(names) == _ours().keys() - {"migrate"}
    (tmp_path / "alerts.yaml").write_text((ROOT / "deploy/prometheus/alerts.yaml").read_text())
    (tmp_path / "key").write_text("any")
    text = (FOLDER / "prometheus.yml").read_text().replace("/run/secrets/metrics-key", "key")
    (tmp_path / "prometheus.yml").write_text(text)
    done = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stderr
