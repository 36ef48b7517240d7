"""Submits jobs at a fixed rate, each with the next callback of a list in turn, or with none.

Runs in its own process (`python -m benchmarks.callback_load PLAN`) and prints one line of JSON.
"""

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import cycle

import uvloop

from benchmarks import open_loop
from benchmarks.http_messages import post
from benchmarks.open_loop_connections import OpenLoopPlan, Phase
from benchmarks.submissions import SINGLE_PATH, one

CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class JobsPlan:
    port: int
    rate: float
    seconds: float
    callback_urls: tuple[str | None, ...] = (None,)


@dataclass(frozen=True, slots=True)
class JobsOutcome:
    """`sent` counts the jobs by callback (empty: none); `wrong` counts those that were not accepted."""

    wrong: int
    sent: dict[str, int]


async def run(plan: JobsPlan) -> JobsOutcome:
    callbacks, sent = cycle(plan.callback_urls), Counter[str]()

    def request() -> bytes:
        callback = next(callbacks)
        sent[callback or ""] += 1
        return post(SINGLE_PATH, one(sent.total(), callback_url=callback))

    load = OpenLoopPlan(plan.port, SINGLE_PATH, "", (Phase(plan.seconds, plan.rate),), CONNECTIONS)
    outcome = await open_loop.run(load, request)
    refused = sum(each.refused + each.broken + each.held_back for each in outcome.phases)
    return JobsOutcome(refused + outcome.unanswered, dict(sent))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(JobsPlan(**json.loads(sys.argv[1])))))))
