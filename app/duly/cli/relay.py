"""Body of `duly relay`."""

import signal
from collections.abc import Sequence

from duly.cli.errors import USAGE, stop
from duly.client.default_url import DEFAULT_URL
from duly.relay.outbox import UnknownDatabase, open_outbox
from duly.relay.relay import Relay, RelayClient
from duly.secret_file import api_key_of_environment
from duly.telemetry.structured_logs import configure_logs


def run_relay(
    source: str, url: str, *, batch: int, deletes: bool, once: bool, signals: Sequence[signal.Signals]
) -> None:
    """Runs a relay until a signal arrives."""
    configure_logs(None, "info")
    try:
        outbox = open_outbox(source, deletes=deletes)
        client = RelayClient(url or DEFAULT_URL, api_key=api_key_of_environment())
    except UnknownDatabase as error:
        stop(f"--source: {error}", code=USAGE)
    except ValueError as error:
        stop(f"{error}; see --url, DULY_URL and DULY_API_KEY", code=USAGE)
    with client:
        relay = Relay(outbox, client, batch=batch)
        for number in signals:
            signal.signal(number, lambda *_: relay.stopping.set())
        relay.run(once=once)
