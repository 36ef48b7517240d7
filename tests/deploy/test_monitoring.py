"""Monitoring: generated files are current, their metrics exist, and each alert has a test and a runbook page."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from deploy.monitoring.__main__ import ROOT, files
from deploy.monitoring.alerts import ALERTS, Alert
from deploy.monitoring.dashboard import ROWS
from deploy.monitoring.pages import NOTES
from deploy.monitoring.rules import rules
from duly.__main__ import application
from duly.api.server.route_scopes import ROUTE_SCOPES
from duly.settings import Settings
from duly.telemetry.metric_list import METRICS, Kind
from tests.support.node_packages import program

RUNBOOK = ROOT / "docs" / "operate" / "runbook"
PAGES = sorted(page for page in RUNBOOK.glob("*.md") if page.name != "index.md")
PROMETHEUS = ROOT / "deploy" / "prometheus"
NAMES = {
    name
    for metric in METRICS.values()
    for name in (
        [f"{metric.exposed}_{suffix}" for suffix in ("bucket", "count", "sum")] + [metric.exposed]
        if metric.kind is Kind.HISTOGRAM
        else [metric.exposed]
    )
}


def promtool(*arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs promtool in the folder of the rules."""
    path = program("promtool", "the tests of metrics and alerts need promtool: apt-get install prometheus")
    command = [path, *arguments]
    return subprocess.run(command, input=text, cwd=PROMETHEUS, text=True, capture_output=True, timeout=300, check=False)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_a_generated_file_is_current(path: Path) -> None:
    assert path.read_text("utf-8") == files()[path], "run `python -m deploy.monitoring`"


def test_every_metric_that_is_named_exists() -> None:
    texts = [alert.expression for alert in ALERTS]
    texts += [series.name for alert in ALERTS for series in (*alert.fires, *alert.quiet)]
    texts += [expression for row in ROWS.values() for panel in row for expression, _ in panel.queries]
    texts += [page.read_text("utf-8") for page in PAGES]
    assert {name for text in texts for name in re.findall(r"\bduly_[a-z_]+\b", text)} <= NAMES
    assert NOTES.keys() <= METRICS.keys()


def test_each_alert_fires_and_is_quiet() -> None:
    done = promtool("test", "rules", "alerts_test.yaml")
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stdout + done.stderr
    assert promtool("check", "rules", "alerts.yaml").returncode == 0
    tests = (PROMETHEUS / "alerts_test.yaml").read_text("utf-8")
    assert all(f"{alert.name} {case}" in tests for alert in ALERTS for case in ("fires", "is quiet"))


def test_a_rule_that_never_fires_is_found(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(rules().replace("max(duly_partitions_ahead) < 2", "").replace("< 2", "< 0"))
    (tmp_path / "alerts_test.yaml").write_text((PROMETHEUS / "alerts_test.yaml").read_text("utf-8"))
    done = promtool("test", "rules", str(tmp_path / "alerts_test.yaml"))
    assert done.returncode == 1
    assert "DulyPartitionsMissing" in done.stderr + done.stdout


def test_panels_have_places_and_ids_of_their_own() -> None:
    panels = json.loads((ROOT / "deploy" / "grafana" / "duly.json").read_text("utf-8"))["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len({panel["id"] for panel in panels}) == len(set(places)) == len(panels)
    assert all(panel["targets"] for panel in panels if panel["type"] != "row")


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    assert sorted(alert.page for alert in ALERTS) == [page.stem for page in PAGES]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_page_has_the_meaning_the_diagnosis_and_the_remedy(alert: Alert) -> None:
    page = (RUNBOOK / f"{alert.page}.md").read_text("utf-8")
    title, *headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    assert (title, headings) == (alert.name, ["Meaning", "Diagnosis", "Remedy"])
    assert all(len(part.split()) > 10 for part in re.split(r"^## .*$", page, flags=re.MULTILINE)[1:])


def test_links_of_alerts_follow_the_url_of_the_documentation() -> None:
    assert '"docs/operate/runbook/no-worker.md"' in rules()
    assert '"https://docs.example.com/operate/runbook/no-worker/"' in rules("https://docs.example.com/")


def _code() -> set[str]:
    return {code for page in PAGES for code in re.findall(r"`([^`]+)`", page.read_text("utf-8"))}


def test_the_commands_of_the_pages_exist() -> None:
    commands = [code.split()[1:] for code in _code() if code.startswith("duly ")]
    assert len(commands) > 20
    for words in commands:
        command: Any = typer.main.get_command(application())
        while words and (commands_of := getattr(command, "commands", None)):
            command = commands_of[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_the_requests_and_settings_of_the_pages_exist() -> None:
    routes = {f"{method} {path}" for method, path in ROUTE_SCOPES} | {"GET /healthz", "GET /readyz", "GET /metrics"}
    asked = {code for code in _code() if re.match(r"(GET|POST) /", code)}
    assert len(asked) > 5
    assert asked <= routes
    settings = {code for code in _code() if re.fullmatch(r"DULY_[A-Z_]+", code)}
    assert {name.removeprefix("DULY_").lower() for name in settings} <= Settings.model_fields.keys()
