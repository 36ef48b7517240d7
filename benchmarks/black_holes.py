"""Jobs at a fixed rate, each with the next callback of a list in turn, or with none.

Runs in a process of its own (`python -m benchmarks.black_holes PLAN`) and prints one line of JSON.
"""

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import cycle

import uvloop

from benchmarks import arrivals
from benchmarks.crowd import ArrivalsPlan, Phase
from benchmarks.submissions import SINGLE_PATH, one
from benchmarks.wire import post

CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class JobsPlan:
    port: int
    rate: float
    seconds: float
    callback_urls: tuple[str | None, ...] = (None,)


@dataclass(frozen=True, slots=True)
class JobsOutcome:
    """`sent` is how many there were with each of the callbacks (the empty one: none); `wrong` were not accepted."""

    wrong: int
    sent: dict[str, int]


async def run(plan: JobsPlan) -> JobsOutcome:
    callbacks, sent = cycle(plan.callback_urls), Counter[str]()

    def request() -> bytes:
        callback = next(callbacks)
        sent[callback or ""] += 1
        return post(SINGLE_PATH, one(sent.total(), callback_url=callback))

    load = ArrivalsPlan(plan.port, SINGLE_PATH, "", (Phase(plan.seconds, plan.rate),), CONNECTIONS)
    outcome = await arrivals.run(load, request)
    refused = sum(each.refused + each.broken + each.held_back for each in outcome.phases)
    return JobsOutcome(refused + outcome.unanswered, dict(sent))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(JobsPlan(**json.loads(sys.argv[1])))))))
