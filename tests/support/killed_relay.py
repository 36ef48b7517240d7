"""Relays that kill themselves, one at each point of a round: `killed_relay.py SOURCE URL`."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import create_engine, event, text

from duly.relay.outbox import Outbox, open_outbox
from duly.relay.relay import Relay, RelayClient

ROWS = 5
POINTS = (
    ("commit", 1),  # of the claim
    ("claimed", 1),
    ("send", 1),
    ("send", 5),
    ("sent", 1),
    ("sent", 5),
    ("commit", 2),  # of the ticks
    ("settled", 1),
)


def kill_one_at_each_point(source: str, url: str) -> None:
    """Runs a relay for each point, in a process of its own that must not survive it."""
    for point, number in POINTS:
        if not (child := os.fork()):
            run(source, url, point, number)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (point, number, status)
        engine = create_engine(source)
        with engine.begin() as connection:  # the minute of its claims is over
            connection.execute(text("update duly_outbox set claimed_until = 0"))
        engine.dispose()


def run(source: str, url: str, point: str, number: int) -> None:
    """Runs a relay until it kills itself the `number`th time that it reaches the point."""
    left = number

    def reach(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            reach()
            return call(*arguments, **named)

        return wrapped

    def after(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            result = call(*arguments, **named)
            reach()
            return result

        return wrapped

    outbox = open_outbox(source)
    if point == "commit":
        event.listen(outbox._engine, "commit", reach)
    wrapper, owner, name = {
        "claimed": (after, Outbox, "claim"),
        "send": (before, RelayClient, "submit_text"),
        "sent": (after, RelayClient, "submit_text"),
        "settled": (after, Outbox, "settle"),
    }.get(point, (after, Relay, "run"))
    setattr(owner, name, wrapper(getattr(owner, name)))
    with RelayClient(url) as client:
        Relay(outbox, client, batch=ROWS).run(once=True)


if __name__ == "__main__":
    kill_one_at_each_point(sys.argv[1], sys.argv[2])
