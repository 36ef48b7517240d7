"""Jobs end to end at a fixed rate: submits jobs with a callback and receives their signed webhooks.

Runs in its own process (`python -m benchmarks.end_to_end_fixed_rate PLAN`) and prints one line of JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

import uvloop

from benchmarks import open_loop
from benchmarks.end_to_end import CHECK_EVERY, INDEX, Receiver, is_signed
from benchmarks.http_messages import Message, post
from benchmarks.open_loop_connections import GRACE_SECONDS, OpenLoopPlan, Phase
from benchmarks.stats import percentile
from benchmarks.submissions import SINGLE_PATH, one


@dataclass(frozen=True, slots=True)
class FixedRatePlan:
    port: int
    rate: float
    seconds: float
    connections: int = 256


@dataclass(frozen=True, slots=True)
class FixedRateOutcome:
    """Lists with one value per second. `lost`: accepted jobs without a webhook when the generator stopped waiting."""

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
    """Jobs in flight, and the end-to-end latencies of each second."""

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

    def on_webhook(self, message: Message) -> None:
        """Records the latency of a webhook. The receiver calls this for each message."""
        found, now = INDEX.search(message.body), time.perf_counter()
        sent_at = self.sent_at.pop(int(found[1]) if found else -1, None)
        if sent_at is None:
            self.repeated += 1
            return
        if self.submitted % CHECK_EVERY == 0:
            self.bad_signatures += not is_signed(message)
        self.took[min(int(now - self.began), len(self.took) - 1)].append(now - sent_at)


async def run(plan: FixedRatePlan) -> FixedRateOutcome:
    reports = Reports(plan.seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Receiver(reports), "127.0.0.1", 0)
    reports.begin(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks")
    load = OpenLoopPlan(plan.port, SINGLE_PATH, "", (Phase(plan.seconds, plan.rate),), plan.connections)
    outcome = await open_loop.run(load, reports.next_request)
    refused = sum(each.refused for each in outcome.phases)
    until = time.perf_counter() + GRACE_SECONDS
    while len(reports.sent_at) > refused and time.perf_counter() < until:
        await asyncio.sleep(0.02)
    server.close()
    took = reports.took[: len(outcome.seconds)]
    return FixedRateOutcome(
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
    print(json.dumps(asdict(uvloop.run(run(FixedRatePlan(**json.loads(sys.argv[1])))))))
