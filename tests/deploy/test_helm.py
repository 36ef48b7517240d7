"""Helm chart: lint, schemas of Kubernetes and KEDA, and what every pod of it must have."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from deploy.monitoring.__main__ import ROOT
from duly import __version__
from duly.__main__ import application
from duly.api.server.route_scopes import ROUTE_SCOPES
from duly.domain.node_role import Role
from duly.settings import SECRETS, Settings
from tests.support.locked_python import locked_python

CHART: Final = ROOT / "deploy" / "helm" / "duly"
TOOLS: Final = Path(__file__).parents[1] / "support" / "helm"
ONE_COMPONENT: Final = {"components": {name: {"roles": ["api"]} for name in ("api", "worker", "dispatcher")}}
CASES: Final[dict[str, dict[str, Any]]] = {
    "defaults": {},
    "everything": {
        "handlers": ["shop.jobs", "shop.mails"],
        "image": {"repository": "registry.example.com/shop", "digest": f"sha256:{'0' * 64}"},
        "secrets": {"metricsKeyKey": "metrics-key", "migration": {"existingSecret": "duly-owner"}},
        "database": {"schema": "duly", "tlsSecret": "duly-database-tls", "transactionPooling": True},
        "settings": {"DULY_RETENTION_DAYS": 14, "DULY_LOG_LEVEL": "warning"},
        "extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "jobs"}],
        "components": {"worker": {"slots": 200, "shutdownGraceSeconds": 600, "settings": {"DULY_LOG_LINES": 0}}},
        "keda": {"enabled": True},
        "ingress": {"enabled": True, "className": "nginx", "hosts": ["jobs.example.com"]},
        "metrics": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
        "podAnnotations": {"example.com/owner": "jobs"},
        "topologySpread": False,
    },
    "a role is missing": ONE_COMPONENT,
    "an unknown value": {"components": {"api": {"replica": 3}}},
    "a secret in clear": {"settings": {"DULY_API_KEY": "top-s3cret"}},
    "an unusable setting": {"settings": {"PATH": "/bin"}},
}
REFUSED: Final = {
    "a role is missing": 'no component has the role "worker"; add it to components.<name>.roles',
    "an unknown value": "replica",
    "a secret in clear": "DULY_API_KEY",
    "an unusable setting": "PATH",
}


@pytest.fixture(scope="module")
def chart(pytestconfig: pytest.Config) -> dict[str, Any]:
    """The chart as Helm's library lints and renders it, by case."""
    done = subprocess.run(
        [locked_python(pytestconfig, TOOLS), TOOLS / "chart.py", CHART],
        input=json.dumps(list(CASES.values())),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {"lint": found["lint"], **dict(zip(CASES, found["results"], strict=True))}


def _of(chart: dict[str, Any], case: str, kind: str) -> dict[str, Any]:
    return {each["metadata"]["name"]: each for each in chart[case]["resources"] if each["kind"] == kind}


def _pods(chart: dict[str, Any], case: str) -> Iterator[dict[str, Any]]:
    for kind in ("Deployment", "Job"):
        for each in _of(chart, case, kind).values():
            yield each["spec"]["template"]["spec"]


BOTH: Final = pytest.mark.parametrize("case", ["defaults", "everything"])


def test_helm_has_nothing_to_say_but_that_there_is_no_icon(chart: dict[str, Any]) -> None:
    assert chart["lint"]["errors"] == []
    assert [message["error"] for message in chart["lint"]["messages"]] == ["icon is recommended"]


@BOTH
def test_every_resource_fits_the_schemas_of_kubernetes(chart: dict[str, Any], case: str) -> None:
    assert (chart[case]["error"], chart[case]["findings"]) == ("", [])
    assert len(chart[case]["resources"]) > 8


def _shape(value: Any) -> Any:
    """Returns the names and the types of all members."""
    if isinstance(value, dict):
        return {name: _shape(one) for name, one in value.items() if name != "metadata"}
    return [_shape(one) for one in value] if isinstance(value, list) else type(value)


def test_the_autoscaler_has_the_form_of_the_manifest_without_helm(chart: dict[str, Any]) -> None:
    manifests = {
        each["kind"]: each for each in yaml.safe_load_all((ROOT / "deploy/keda/scaled-object.yaml").read_text())
    }
    assert manifests.keys() == {"ScaledObject", "TriggerAuthentication"}
    for kind, manifest in manifests.items():
        [resource] = _of(chart, "everything", kind).values()
        assert _shape(resource) == _shape(manifest)
        trigger = resource["spec"].get("triggers", [{}])[0].get("metadata", {})
        assert trigger.keys() == manifest["spec"].get("triggers", [{}])[0].get("metadata", {}).keys()


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_cannot_be_meant_are_refused_by_name(chart: dict[str, Any], case: str) -> None:
    assert REFUSED[case] in chart[case]["error"]
    assert "top-s3cret" not in chart[case]["error"]


@BOTH
def test_every_pod_is_confined(chart: dict[str, Any], case: str) -> None:
    for pod in _pods(chart, case):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # a Service named duly would set DULY_PORT
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"/tmp", "/data"}  # noqa: S108  # of the container


def _files(pod: dict[str, Any]) -> set[str]:
    """Returns the files of the mounted secrets."""
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "secrets"]
    secrets = [volume["secret"]] if "secret" in volume else [one["secret"] for one in volume["projected"]["sources"]]
    return {f"/run/secrets/duly/{item['path']}" for secret in secrets for item in secret["items"]}


@BOTH
def test_secrets_are_files_and_variables_are_settings(chart: dict[str, Any], case: str) -> None:
    known = {f"DULY_{name.upper()}" for name in Settings.model_fields if name not in SECRETS}
    files = {f"DULY_{name.upper()}_FILE" for name in SECRETS}
    for pod in _pods(chart, case):
        variables = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
        assert {name for name in variables if name.startswith("DULY_")} <= known | files
        assert {variables[name] for name in variables.keys() & files} == _files(pod)
        assert all(isinstance(value, str) for value in variables.values())


@BOTH
def test_the_roles_of_all_components_are_those_of_the_service(chart: dict[str, Any], case: str) -> None:
    serve: Any = typer.main.get_command(application())
    options = {option for parameter in serve.commands["serve"].params for option in parameter.opts}
    roles: list[str] = []
    for deployment in _of(chart, case, "Deployment").values():
        command, *arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        assert command == "serve"
        assert set(arguments[::2]) == {"--role"} <= options
        roles += arguments[1::2]
    assert sorted(roles) == sorted(Role)


@BOTH
def test_a_pod_may_drain_before_it_is_killed(chart: dict[str, Any], case: str) -> None:
    for name, deployment in _of(chart, case, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        [container] = pod["containers"]
        grace = next(one["value"] for one in container["env"] if one["name"] == "DULY_SHUTDOWN_GRACE_SECONDS")
        pause, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
        assert pause == "sleep"
        assert pod["terminationGracePeriodSeconds"] >= int(grace) + int(seconds) + 10
        assert int(grace) == (600 if case == "everything" and name.endswith("worker") else 30)
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@BOTH
def test_each_budget_and_service_selects_the_pods_of_one_deployment(chart: dict[str, Any], case: str) -> None:
    deployments = _of(chart, case, "Deployment")
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in deployments.values()]
    budgets = _of(chart, case, "PodDisruptionBudget")
    assert budgets.keys() == deployments.keys()
    selectors = [budget["spec"]["selector"]["matchLabels"] for budget in budgets.values()]
    selectors += [service["spec"]["selector"] for service in _of(chart, case, "Service").values()]
    for selector in selectors:
        assert sum(selector.items() <= label.items() for label in labels) == 1


def test_the_autoscaler_reads_the_signal_and_alone_sets_the_replicas(chart: dict[str, Any]) -> None:
    [scaled] = _of(chart, "everything", "ScaledObject").values()
    [trigger] = scaled["spec"]["triggers"]
    host, path = re.fullmatch(r"http://([\w-]+)\.jobs:80(/[^?]+)\?queue=default", trigger["metadata"]["url"]).groups()  # type: ignore[union-attr]
    assert host in _of(chart, "everything", "Service")
    assert ROUTE_SCOPES["GET", path] == "jobs:read"
    deployment = _of(chart, "everything", "Deployment")[scaled["spec"]["scaleTargetRef"]["name"]]
    assert "replicas" not in deployment["spec"]
    slots = [one["value"] for one in deployment["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert trigger["metadata"]["targetValue"] == "200"
    assert "200" in slots


def test_migrations_run_before_pods_and_as_the_owner(chart: dict[str, Any]) -> None:
    [job] = _of(chart, "everything", "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["migrate"]
    owner, rest = (one["secret"] for one in pod["volumes"][0]["projected"]["sources"])
    assert (owner["name"], [item["path"] for item in owner["items"]]) == ("duly-owner", ["database-url"])
    assert "database-url" not in {item["path"] for item in rest["items"]}


def test_the_chart_has_the_version_of_the_service() -> None:
    text = (CHART / "Chart.yaml").read_text()
    assert f'appVersion: "{__version__}"' in text
