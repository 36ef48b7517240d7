"""Traces that are off, or whose collector is away: nothing is imported, nothing waits, one line says so."""

import json
import socket
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from duly.telemetry.otel.encoding import INTERNAL
from duly.telemetry.otel.export import CollectorHealth, SpanExport
from duly.telemetry.otel.open_span import OpenSpan
from duly.telemetry.otel.span_ids import SpanIds
from tests.support.forked_commands import ROOT
from tests.support.otlp_collector import Collector, running_collector
from tests.support.service import eventually
from tests.support.service_process import Processes

# `fastapi` imports the API of OpenTelemetry; what takes time and memory is the rest.
HEAVY = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "google.protobuf", "duly.telemetry.otel")
LOOK = f"""
import sys
from prometheus_client import CollectorRegistry
from duly.telemetry.tracing import open_tracing
import duly.api.app, duly.cli.serve, duly.node
tracing = open_tracing(CollectorRegistry(), instance="a", version="1")
print(tracing.on, [name for name in sys.modules if name.startswith({HEAVY})])
"""
MISSING = """
import sys
sys.modules["opentelemetry.sdk"] = None
from prometheus_client import CollectorRegistry
from duly.telemetry.tracing import open_tracing
print(open_tracing(CollectorRegistry(), instance="a", version="1").on)
"""


def _python(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a fresh process."""
    return subprocess.run(
        [sys.executable, "-c", program], env=variables, cwd=ROOT, capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_without_an_endpoint_traces_are_off_and_the_sdk_is_not_imported(variables: dict[str, str]) -> None:
    assert _python(LOOK, **variables).stdout == "False []\n"


def test_without_the_extra_a_line_names_it() -> None:
    ran = _python(MISSING, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert ran.stdout.endswith("False\n")
    assert 'pip install "duly[otel]"' in ran.stdout + ran.stderr


def _lines(stderr: str, action: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stderr.splitlines()]
    return [line for line in lines if line["action"] == action]


async def _more_than(collector: Collector, posts: int) -> bool:
    return len(collector.bodies) > posts


async def test_jobs_run_while_the_collector_is_away_and_one_line_says_so(
    database_url: str, processes: Processes
) -> None:
    with running_collector() as collector:
        collector.status = 400
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "20"}
        service = await processes.serve(database_url, **variables)
        for _ in range(3):
            posts = len(collector.bodies)
            await service.run("quick")
            await eventually(partial(_more_than, collector, posts))
        collector.status = 200
        await service.run("quick")
        await collector.wait_for("process quick")
        assert await service.stop() == 0
    assert len(_lines(service.command.stderr, "otlp_export_failed")) == 1
    assert len(_lines(service.command.stderr, "otlp_export_recovered")) == 1
    assert not _lines(service.command.stderr, "library")


async def test_a_shutdown_does_not_wait_for_a_collector_that_does_not_respond(
    database_url: str, processes: Processes
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        service = await processes.serve(database_url, **variables)
        await service.run("quick")
        assert await service.stop() == 0


def test_spans_beyond_the_buffer_are_dropped_and_counted() -> None:
    dropped: list[int] = []
    with pytest.MonkeyPatch.context() as patch, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        patch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
        exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces", timeout=600)
        export = SpanExport(exporter, CollectorHealth(), resource=b"", scope=b"", dropped=dropped.append)
        for _ in range(1_000):
            OpenSpan(SpanIds("1" * 32, "2" * 16), "one", INTERNAL, put=export.put).export()
        export.close()
    # At most one batch is on its way.
    assert len(dropped) >= 1_000 - 2 * 10
