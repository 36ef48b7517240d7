"""Whole lives at a fixed rate: each second as many jobs with a callback, and their signed webhooks received.

Runs in a process of its own (`python -m benchmarks.steady PLAN`) and prints one line of JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

import uvloop

from benchmarks import arrivals
from benchmarks.crowd import GRACE_SECONDS, ArrivalsPlan, Phase
from benchmarks.figures import percentile
from benchmarks.lives import CHECK_EVERY, INDEX, Receiver, is_signed
from benchmarks.submissions import SINGLE_PATH, one
from benchmarks.wire import Message, post


@dataclass(frozen=True, slots=True)
class SteadyPlan:
    port: int
    rate: float
    seconds: float
    connections: int = 256


@dataclass(frozen=True, slots=True)
class SteadyOutcome:
    """A list has a value a second. `lost` were accepted and their webhook had not come when the generator gave up."""

    began_at: float
    accepted: list[int]
    reported: list[int]
    p50_ms: list[float]
    p99_ms: list[float]
    refused: int
    broken: int
    lost: int
    repeated: int
    bad_signatures: int


@dataclass(slots=True)
class Reports:
    """The jobs that are under way, and how long each life of a second took."""

    seconds: float
    callback_url: str = ""
    began: float = 0.0
    submitted: int = 0
    repeated: int = 0
    bad_signatures: int = 0
    sent_at: dict[int, float] = field(default_factory=dict)
    took: list[list[float]] = field(default_factory=list)

    def begin(self, callback_url: str) -> None:
        self.callback_url = callback_url
        self.began = time.perf_counter()
        self.took = [[] for _ in range(int(self.seconds + GRACE_SECONDS) * 2 + 2)]

    def next_request(self) -> bytes:
        index, self.submitted = self.submitted, self.submitted + 1
        self.sent_at[index] = time.perf_counter()
        return post(SINGLE_PATH, one(index, callback_url=self.callback_url))

    def reported(self, message: Message) -> None:
        """Called by the receiver for each webhook."""
        found, now = INDEX.search(message.body), time.perf_counter()
        sent_at = self.sent_at.pop(int(found[1]) if found else -1, None)
        if sent_at is None:
            self.repeated += 1
            return
        if self.submitted % CHECK_EVERY == 0:
            self.bad_signatures += not is_signed(message)
        self.took[min(int(now - self.began), len(self.took) - 1)].append(now - sent_at)


async def run(plan: SteadyPlan) -> SteadyOutcome:
    reports = Reports(plan.seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Receiver(reports), "127.0.0.1", 0)
    reports.begin(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks")
    load = ArrivalsPlan(plan.port, SINGLE_PATH, "", (Phase(plan.seconds, plan.rate),), plan.connections)
    outcome = await arrivals.run(load, reports.next_request)
    refused = sum(each.refused for each in outcome.phases)
    until = time.perf_counter() + GRACE_SECONDS
    while len(reports.sent_at) > refused and time.perf_counter() < until:
        await asyncio.sleep(0.02)
    server.close()
    took = reports.took[: len(outcome.seconds)]
    return SteadyOutcome(
        began_at=outcome.began_at,
        accepted=[each.accepted for each in outcome.seconds],
        reported=[len(each) for each in took],
        p50_ms=[percentile(each, 0.5) * 1e3 for each in took],
        p99_ms=[percentile(each, 0.99) * 1e3 for each in took],
        refused=refused,
        broken=sum(each.broken for each in outcome.phases) + outcome.unanswered,
        lost=max(0, len(reports.sent_at) - refused),
        repeated=reports.repeated,
        bad_signatures=reports.bad_signatures,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(SteadyPlan(**json.loads(sys.argv[1])))))))
