"""S6: time from the first byte of the POST to the first line of the handler, in an idle service with one job at a time.

The time of a peer begins with the call that enqueues the job, without HTTP.
"""

import random
import socket
import time

from benchmarks.contestants import DULY_SERVICE, NAIVE, STARLETTE, Contestant, Start, peers_that_run, running
from benchmarks.http_messages import post, split_message
from benchmarks.peers import measurements
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext
from benchmarks.start_signal import SOCKET_VARIABLE, StartSignalReceiver
from benchmarks.stats import percentile
from benchmarks.submissions import SINGLE_PATH, one

WAIT_SECONDS = 60.0
WARM_UPS = 5
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.04


def measure(context: RunContext) -> list[Result]:
    contestants = (DULY_SERVICE, NAIVE, *peers_that_run(context), STARLETTE)

    def one_round(contestant: Contestant) -> Round:
        if contestant.peer is not None:
            return measurements.picked_up(contestant.peer, context)
        path = context.folder / "start.socket"
        receiver = StartSignalReceiver(str(path), timeout_seconds=WAIT_SECONDS)
        try:
            start = Start(environment={SOCKET_VARIABLE: str(path)})
            with running(contestant, context, start) as service:
                latencies = pick_ups(service.port, receiver, count=context.sizes.pick_ups)
        except OSError as error:
            raise ContestantFailed(f"no handler started within {WAIT_SECONDS:g} s: {error!r}") from error
        finally:
            receiver.close()
            path.unlink()
        return Round({"p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99), "errors": 0.0})

    return alternate("S6", contestants, context=context, measure=one_round)


def pick_ups(port: int, receiver: StartSignalReceiver, *, count: int) -> list[float]:
    """Returns the milliseconds from POST to start of `count` jobs, each alone in the service, after uneven pauses."""
    pauses = random.Random(7)
    latencies: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index in range(WARM_UPS + count):
            time.sleep(pauses.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
            milliseconds = pick_up(connection, receiver, index)
            if index >= WARM_UPS:
                latencies.append(milliseconds)
    return latencies


def pick_up(connection: socket.socket, receiver: StartSignalReceiver, index: int) -> float:
    sent_at = time.monotonic_ns()
    connection.sendall(post(SINGLE_PATH, one(index)))
    started_index, started_at = receiver.receive()
    if started_index != index:
        raise ContestantFailed(f"job {started_index} started instead of job {index}")
    received = b""
    while (response := split_message(received)) is None:
        more = connection.recv(65_536)
        if not more:
            raise ContestantFailed("the service closed the connection")
        received += more
    if response.status != 202:
        raise ContestantFailed(f"POST {SINGLE_PATH} responded with {response.status}")
    return (started_at - sent_at) / 1e6
