"""S4: jobs end to end: submitted, run, and their signed webhooks received."""

from benchmarks.contestants import CALLBACKS_ALLOWED, DULY_SERVICE, NAIVE, Contestant, Start, running
from benchmarks.end_to_end import EndToEndPlan
from benchmarks.generator_processes import generate_end_to_end
from benchmarks.processes import cores
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext

# Best of 2, 4, 8, 16 and 32 for this row: more of them slow down the connection pool of httpx.
NAIVE_WORKERS = 2


def measure(context: RunContext) -> list[Result]:
    sizes = context.sizes

    def one_round(contestant: Contestant) -> Round:
        with running(contestant, context, Start(environment=CALLBACKS_ALLOWED, naive_workers=NAIVE_WORKERS)) as service:
            plan = EndToEndPlan(
                service.port,
                in_flight=sizes.jobs_in_flight,
                seconds=sizes.seconds,
                warm_up=2 * sizes.warm_up,
            )
            with cores(service=service.pid, postgres=context.server.pid) as used:
                outcome = generate_end_to_end(plan)
        wrong = outcome.refused + outcome.lost + outcome.repeated + outcome.bad_signatures
        figures = {"rate": outcome.rate, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms, "errors": float(wrong)}
        return Round(figures, used.used | {"generator": outcome.generator_cores})

    return alternate("S4", (DULY_SERVICE, NAIVE), context=context, measure=one_round)
