"""S6: an idle service gets one job at a time; from the POST's first byte to the handler's first line.

A peer's time begins with the call that enqueues: no HTTP stands before it.
"""

import random
import socket
import time

from benchmarks.contestants import DULY_ITSELF, NAIVE, STARLETTE, Contestant, Start, peers_that_run, running
from benchmarks.figures import percentile
from benchmarks.ground import Ground
from benchmarks.peers import measuring
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.start_signal import SOCKET_VARIABLE, StartSignalReceiver
from benchmarks.submissions import SINGLE_PATH, one
from benchmarks.wire import post, split_message

WAIT_SECONDS = 10.0
WARM_UPS = 5
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.06


def measure(ground: Ground) -> list[Result]:
    contestants = (DULY_ITSELF, NAIVE, *peers_that_run(ground), STARLETTE)

    def one_round(contestant: Contestant) -> Round:
        if contestant.peer is not None:
            return measuring.picked_up(contestant.peer, ground)
        path = ground.folder / "start.socket"
        receiver = StartSignalReceiver(str(path), timeout_seconds=WAIT_SECONDS)
        try:
            start = Start(environment={SOCKET_VARIABLE: str(path)})
            with running(contestant, ground, start) as service:
                latencies = pick_ups(service.port, receiver, count=ground.sizes.pick_ups)
        except OSError as error:
            raise ContestantFailed(f"no handler started within {WAIT_SECONDS:g} s: {error!r}") from error
        finally:
            receiver.close()
            path.unlink()
        return Round({"p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99), "errors": 0.0})

    return alternate("S6", contestants, ground=ground, measure=one_round)


def pick_ups(port: int, receiver: StartSignalReceiver, *, count: int) -> list[float]:
    """Milliseconds from POST to start of `count` jobs, each alone in the service; the pauses are uneven on purpose."""
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
        raise ContestantFailed(f"job {started_index} started where job {index} was sent")
    received = b""
    while (answer := split_message(received)) is None:
        more = connection.recv(65_536)
        if not more:
            raise ContestantFailed("the service closed the connection")
        received += more
    if answer.status != 202:
        raise ContestantFailed(f"POST {SINGLE_PATH} answered {answer.status}")
    return (started_at - sent_at) / 1e6
