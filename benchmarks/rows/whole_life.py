"""S4: whole lives: submitted, run, and their signed webhook received."""

from benchmarks.contestants import CALLBACKS_ALLOWED, DULY_ITSELF, NAIVE, Contestant, Start, running
from benchmarks.generators import generate_lives
from benchmarks.ground import Ground
from benchmarks.lives import LivesPlan
from benchmarks.processes import cores
from benchmarks.rounds import Result, Round, alternate

# The naive service's best of 2, 4, 8, 16 and 32 for this row: more of them slow httpx's pool down.
NAIVE_WORKERS = 2


def measure(ground: Ground) -> list[Result]:
    sizes = ground.sizes

    def one_round(contestant: Contestant) -> Round:
        with running(contestant, ground, Start(environment=CALLBACKS_ALLOWED, naive_workers=NAIVE_WORKERS)) as service:
            plan = LivesPlan(
                service.port,
                under_way=sizes.lives_under_way,
                seconds=sizes.seconds,
                warm_up=2 * sizes.warm_up,
            )
            with cores(service=service.pid, postgres=ground.server.pid) as used:
                outcome = generate_lives(plan)
        wrong = outcome.refused + outcome.lost + outcome.repeated + outcome.bad_signatures
        figures = {"rate": outcome.rate, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms, "errors": float(wrong)}
        return Round(figures, used.used | {"generator": outcome.generator_cores})

    return alternate("S4", (DULY_ITSELF, NAIVE), ground=ground, measure=one_round)
