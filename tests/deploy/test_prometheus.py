"""Prometheus and its checks on the metrics of a running service."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.monitoring.__main__ import ROOT
from duly.telemetry.metric_list import METRICS
from tests.deploy.test_monitoring import promtool
from tests.support.gauges import read_gauges
from tests.support.keys import bearer
from tests.support.node_packages import program
from tests.support.service import Service, eventually
from tests.support.tcp_servers import free_port

START_SECONDS = 240.0
pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")


async def test_a_service_has_every_metric_of_the_list_and_promtool_accepts_them(service: Service) -> None:
    await service.run("echo", 1)
    await service.run("fail", queue="reports")
    await service.client.post("/api/v1/jobs", json={"type": "none"})
    await read_gauges(service)
    page = (await service.client.get("/metrics")).text
    done = await asyncio.to_thread(promtool, "check", "metrics", text=page)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    shown = {name for name in re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE) if not name.endswith("_created")}
    assert shown == {metric.exposed for metric in METRICS.values()}


def _configuration(service: Service, folder: Path) -> Path:
    """Writes the configuration of the documentation for this service."""
    page = (ROOT / "docs" / "operate" / "monitoring.md").read_text("utf-8")
    [block] = re.findall(r'```yaml title="prometheus.yml"\n(.*?)```', page, re.DOTALL)
    (folder / "metrics-key").write_text("scraper")
    (folder / "alerts.yaml").write_text((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8"))
    path = folder / "prometheus.yml"
    path.write_text(block.replace("127.0.0.1:8000", f"127.0.0.1:{service.client.base_url.port}").replace("15s", "1s"))
    return path


@asynccontextmanager
async def _prometheus(configuration: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Starts Prometheus with this configuration, on a free port."""
    path = program("prometheus", "the test of a scrape needs Prometheus: apt-get install prometheus")
    address = f"127.0.0.1:{free_port()}"
    data = configuration.parent / "data"
    options = (f"--config.file={configuration}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}")
    with (configuration.parent / "log").open("wb") as log:
        process = subprocess.Popen([path, *options], stdout=log, stderr=log)
        try:
            async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60, trust_env=False) as client:
                yield client
        finally:
            process.kill()
            process.wait()


async def _result(client: httpx.AsyncClient, query: str) -> Any:
    try:
        answer = await client.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:  # it is still starting
        return None
    return answer.json()["data"]["result"] if answer.status_code == 200 else None


async def test_prometheus_scrapes_a_service_as_documented(start_service: Any, tmp_path: Path) -> None:
    service: Service = await start_service(metrics_key="scraper")
    await service.run("echo", 1)
    assert (await service.client.get("/metrics")).status_code == 401
    assert (await service.client.get("/metrics", headers=bearer("scraper"))).status_code == 200
    async with _prometheus(_configuration(service, tmp_path)) as client:
        [up] = await eventually(lambda: _result(client, 'up{job="duly"} == 1'), seconds=START_SECONDS)
        assert up["metric"]["job"] == "duly"
        [accepted] = await eventually(lambda: _result(client, "duly_jobs_accepted_total"))
        assert accepted["value"][1] == "1"
        groups = (await client.get("/api/v1/rules")).json()["data"]["groups"]
    assert sorted(group["name"] for group in groups) == [
        "duly-database",
        "duly-jobs",
        "duly-processes",
        "duly-webhooks",
    ]
