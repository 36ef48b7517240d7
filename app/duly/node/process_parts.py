"""Parts of one process. Where it has several cells, the nodes of all of them share these parts."""

import asyncio
import os
import socket
from collections.abc import Callable

from duly import __version__
from duly.handlers.registry import Registry
from duly.lifecycle.leases.leased_types import LeasedTypes
from duly.node.dispatcher_parts import webhook_client
from duly.settings import Settings
from duly.stream.capacity import StreamCapacity
from duly.telemetry.access_log import AccessLog
from duly.telemetry.metrics import Series
from duly.telemetry.structured_logs import chosen_format
from duly.telemetry.tracing import open_tracing
from duly.worker.watchdog import Watchdog


def process_name() -> str:
    """Returns the name of this process, which its nodes have in the list of nodes."""
    return f"{socket.gethostname()}-{os.getpid()}"


class ProcessParts:
    """Access log, traces, watchdog of the event loop, limit of streams, live workers over HTTP, HTTP client for
    webhooks, and handlers.

    Args:
        settings: the settings of the process.
        registry: its handlers, closed with these parts.
        series: the metrics, which are exported with the traces (default: those of several cells).
    """

    def __init__(self, settings: Settings, registry: Registry, series: Series | None = None) -> None:
        self.registry = registry
        self.series = series or Series()
        self.tracing = open_tracing(self.series.registry, instance=process_name(), version=__version__)
        self.access = AccessLog(
            on=settings.access_log and settings.log_level in {"debug", "info"},
            form=chosen_format(settings.log_format),
            shared=settings.processes > 1,
        )
        self.outbound = webhook_client(settings)
        self.leased_types = LeasedTypes()  # a worker over HTTP claims from all cells
        self.stream_capacity = StreamCapacity(settings.stream_limit)
        self.watchdog = Watchdog(handlers_run=lambda: any(runs() for runs in self._handlers_run))
        self._handlers_run: list[Callable[[], bool]] = []
        self._started = False

    def watch(self, handlers_run: Callable[[], bool]) -> None:
        """Adds a pool to the watchdog, by a function that returns whether handlers run in it."""
        self._handlers_run.append(handlers_run)

    def start(self) -> None:
        """Starts the watchdog, unless another node has."""
        if not self._started:
            self._started = True
            self.watchdog.start()

    async def aclose(self) -> None:
        """Closes everything, after the last node."""
        self.watchdog.stop()
        await self.outbound.aclose()
        await self.registry.aclose()
        self.access.flush()
        await asyncio.to_thread(self.tracing.close)
