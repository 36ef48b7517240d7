"""Targets of each row, as data, and the judgement of a row's figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Record:
    """Figure of other systems on a comparable machine (two cores, 24 GiB, medians of three rounds).

    It is used if no contestant of the run has a name that begins with one of `contestants`.
    """

    value: float
    contestants: tuple[str, ...]


POSTGRES_PEERS = (
    *("PgQueuer", "Procrastinate", "Graphile Worker", "awa", "pg-boss"),
    *("Oban for Python", "chancy", "SAQ", "DBOS"),
)
REDIS_PEERS = ("taskiq", "arq", "streaQ", "Celery")
ON_RECORD: dict[str, Record] = {
    "PgQueuer, processed": Record(19_761, ("PgQueuer",)),
    "Graphile Worker, processed": Record(44_472, ("Graphile Worker",)),
    "PgQueuer, library call": Record(55_653, ("PgQueuer",)),
    "best Postgres peer, p50": Record(3.1, POSTGRES_PEERS),
    "best Postgres peer, p99": Record(4.7, POSTGRES_PEERS),
    "best Redis peer, p50": Record(1.5, REDIS_PEERS),
    "httpx, posts": Record(600, ("httpx, default transport", "posts alone: httpx,")),
    "aiohttp, posts": Record(9_800, ("aiohttp ", "posts alone: aiohttp ")),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """Bound of a figure of Duly: at least (or at most) `value`, multiplied by the figure of `times` if given.

    `times` is a contestant of the run or a name in ON_RECORD, which is replaced by contestants of the run if they take
    part. Its figure is `of`, or else the same as that of Duly.
    """

    figure: str
    value: float
    times: str | None = None
    at_most: bool = False
    of: str | None = None

    def mark(self, figures: Mapping[str, Mapping[str, float]]) -> float | None:
        """Returns the bound as a figure; None if the contestant it is relative to was not measured."""
        if self.times is None:
            return self.value
        unit = self._unit(self.times, figures)
        return None if unit is None else self.value * unit

    def _unit(self, times: str, figures: Mapping[str, Mapping[str, float]]) -> float | None:
        """Returns the best figure of `times` in this run, or else the one on record."""
        record, figure = ON_RECORD.get(times), self.of or self.figure
        if record is None:
            return figures.get(times, {}).get(figure)
        measured = [
            shown[figure] for name, shown in figures.items() if name.startswith(record.contestants) and figure in shown
        ]
        best = min if self.at_most else max
        return best(measured, default=record.value)


@dataclass(frozen=True, slots=True)
class Target:
    row: str
    what: str
    text: str
    bounds: tuple[Bound, ...]
    stretch_text: str
    stretch: tuple[Bound, ...]


class Verdict(StrEnum):
    REACHED = "reached"
    MISSED = "missed"
    UNKNOWN = "not measured"


TARGETS: dict[str, Target] = {
    target.row: target
    for target in (
        Target(
            "S1",
            "submitting one job per request, 64 connections, one process",
            "≥ 4.5x naive, p99 ≤ a quarter of naive's",
            (Bound("rate", 4.5, "naive"), Bound("p99_ms", 0.25, "naive", at_most=True)),
            "≥ Starlette with batched INSERTs",
            (Bound("rate", 1, "Starlette, batched INSERT"),),
        ),
        Target(
            "S2",
            "submitting 500 jobs per request, 8 connections, one process",
            "≥ 0.9x PgQueuer's library call",
            (Bound("rate", 0.9, "PgQueuer, library call"),),
            "≥ PgQueuer's library call",
            (Bound("rate", 1, "PgQueuer, library call"),),
        ),
        Target(
            "S3",
            "running and finishing no-op jobs submitted before, one process",
            "≥ Graphile Worker's best, ≥ 3x PgQueuer's",
            (Bound("rate", 1, "Graphile Worker, processed"), Bound("rate", 3, "PgQueuer, processed")),
            "≥ 1.3x Graphile Worker's best",
            (Bound("rate", 1.3, "Graphile Worker, processed"),),
        ),
        Target(
            "S4",
            "end to end: POST → run → signed webhook received, one process",
            "≥ 14x naive",
            (Bound("rate", 14, "naive"),),
            "≥ 20x naive",
            (Bound("rate", 20, "naive"),),
        ),
        Target(
            "H1",
            "claiming and completing no-op jobs over HTTP, 50 per request, 8 connections, one process",
            "≥ 0.5x in process",
            (Bound("rate", 0.5, "Duly, in process"),),
            "≥ 0.7x in process",
            (Bound("rate", 0.7, "Duly, in process"),),
        ),
        Target(
            "S5a",
            "signed POST requests alone, 64 concurrent, keep-alive, all guards enabled",
            "≥ 8x httpx's default transport",
            (Bound("rate", 8, "httpx, posts"),),
            "≥ plain aiohttp",
            (Bound("rate", 1, "aiohttp, posts"),),
        ),
        Target(
            "S5b",
            "signed deliveries from a full outbox, one process: to one endpoint, and to fifty",
            "≥ POST requests of plain aiohttp, without an outbox",
            (Bound("rate", 1, "aiohttp, posts"),),
            "≥ 1.5x",
            (Bound("rate", 1.5, "aiohttp, posts"),),
        ),
        Target(
            "S6",
            "idle: POST sent → handler starts",
            "p50 and p99 ≤ 0.5x the best Postgres peer's",
            (
                Bound("p50_ms", 0.5, "best Postgres peer, p50", at_most=True),
                Bound("p99_ms", 0.5, "best Postgres peer, p99", at_most=True),
            ),
            "≤ the best Redis peer",
            (Bound("p50_ms", 1, "best Redis peer, p50", at_most=True),),
        ),
        Target(
            "S7",
            "idle: terminal event → webhook received, stream on the same node, stream on another node",
            "p50 ≤ 6, 3, 10 ms",
            (
                Bound("p50_ms", 6, at_most=True),
                Bound("stream_p50_ms", 3, at_most=True),
                Bound("other_node_p50_ms", 10, at_most=True),
            ),
            "≤ 3, 1, 5 ms",
            (
                Bound("p50_ms", 3, at_most=True),
                Bound("stream_p50_ms", 1, at_most=True),
                Bound("other_node_p50_ms", 5, at_most=True),
            ),
        ),
        Target(
            "S8",
            "streams of all jobs, one process: memory of an idle one, and events to 1,000 streams at once",
            "≤ 30 KiB each, ≥ bare Starlette",
            (
                Bound("stream_kib", 30, at_most=True),
                Bound("rate", 1, "Starlette, streams from memory"),
            ),
            "≤ 24 KiB each, ≥ 2x bare Starlette",
            (
                Bound("stream_kib", 24, at_most=True),
                Bound("rate", 2, "Starlette, streams from memory"),
            ),
        ),
        Target(
            "BH",
            "terminal event → webhook received by a healthy receiver, with 50 that never respond (relative to alone)",
            "p99 ≤ 1.3x alone, every webhook received",
            (
                Bound("endpoint_p99_ratio", 1.3, at_most=True),
                Bound("callback_p99_ratio", 1.3, at_most=True),
                Bound("endpoint_received_ratio", 1),
                Bound("callback_received_ratio", 1),
            ),
            "p99 ≤ 1.2x",
            (
                Bound("endpoint_p99_ratio", 1.2, at_most=True),
                Bound("callback_p99_ratio", 1.2, at_most=True),
                Bound("endpoint_received_ratio", 1),
                Bound("callback_received_ratio", 1),
            ),
        ),
        Target(
            "M1",
            "resident memory of the idle service",
            "≤ 80 MB",
            (Bound("resident_mb", 80, at_most=True),),
            "≤ 60 MB",
            (Bound("resident_mb", 60, at_most=True),),
        ),
        Target(
            "F1",
            "`duly serve` ready, warm",
            "≤ 2.5 s",
            (Bound("ready_seconds", 2.5, at_most=True),),
            "-",
            (),
        ),
        Target(
            "G1",
            "S1 and S3 with a backlog of ready jobs (largest backlog relative to none)",
            "both ≥ 0.97x without backlog",
            (Bound("submit_ratio", 0.97), Bound("process_ratio", 0.97)),
            "≥ 1x",
            (Bound("submit_ratio", 1), Bound("process_ratio", 1)),
        ),
        Target(
            "G2",
            "S1, S3 and reading one job with finished jobs (largest number relative to none)",
            "both ≥ 0.97x without finished jobs, reading ≥ 0.95x, while days are dropped ≥ 0.9x",
            (
                Bound("submit_ratio", 0.97),
                Bound("process_ratio", 0.97),
                Bound("read_ratio", 0.95),
                Bound("dropping_ratio", 0.9),
            ),
            "all ≥ 1x, but while days are dropped",
            (Bound("submit_ratio", 1), Bound("process_ratio", 1), Bound("read_ratio", 1)),
        ),
        Target(
            "G3",
            "2,000 jobs submitted per second while a snapshot is held open",
            "keeps up, pick-up p99 ≤ 2x without snapshot",
            (Bound("kept_up_ratio", 0.98), Bound("pick_up_p99_ratio", 2, at_most=True)),
            "afterwards, with the snapshot still open, S3 ≥ 0.9x",
            (Bound("kept_up_ratio", 0.98), Bound("drain_ratio", 0.9)),
        ),
        Target(
            "G5",
            "WAL and commits per job over its whole life, without a webhook, under load",
            "≤ 1,100 bytes of WAL, ≤ 0.04 commits",
            (Bound("wal_bytes", 1_100, at_most=True), Bound("commits", 0.04, at_most=True)),
            "≤ 900 bytes",
            (Bound("wal_bytes", 900, at_most=True),),
        ),
        Target(
            "G6",
            "S1 and S3 with several processes on the same Postgres",
            "two processes: both ≥ 1.3x one; four: both ≥ 0.9x two",
            (
                Bound("submit_2_to_1", 1.3),
                Bound("process_2_to_1", 1.3),
                Bound("submit_4_to_2", 0.9),
                Bound("process_4_to_2", 0.9),
            ),
            "-",
            (),
        ),
        Target(
            "P1",
            "S1 and S3 with 1,000,000 parked jobs (relative to none), and from a signal to the start of its job",
            "both ≥ 0.97x without parked jobs, resumed p99 ≤ 100 ms",
            (
                Bound("submit_ratio", 0.97),
                Bound("process_ratio", 0.97),
                Bound("resumption_ms", 100, at_most=True),
            ),
            "-",
            (),
        ),
        Target(
            "L1",
            "ten times the sustainable load: latency of accepted jobs, and time until normal",
            "p99 of accepted jobs ≤ 3x unloaded, rejections ≤ 50 ms, normal after 2 s, ≤ +50 MB",
            (
                Bound("p99_ratio", 3, at_most=True),
                Bound("refusal_p99_ms", 50, at_most=True),
                Bound("normal_after_seconds", 2, at_most=True),
                Bound("grown_mb", 50, at_most=True),
            ),
            "p99 ≤ 2x",
            (Bound("p99_ratio", 2, at_most=True),),
        ),
        Target(
            "D1",
            "a moderate load with 1,100 silent connections, 500 partial headers, 300 slow bodies, headers of 64 MB",
            "p99 ≤ 2x alone, ≤ +50 MB",
            (
                Bound("silent_p99_ratio", 2, at_most=True),
                Bound("half_heads_p99_ratio", 2, at_most=True),
                Bound("slow_bodies_p99_ratio", 2, at_most=True),
                Bound("header_lines_p99_ratio", 2, at_most=True),
                Bound("grown_mb", 50, at_most=True),
            ),
            "-",
            (),
        ),
        Target(
            "SOAK",
            "1,000 jobs per second end to end with signed webhooks, sustained",
            "keeps up without errors; memory and p99 constant",
            (
                Bound("rate", 990),
                Bound("errors", 0, at_most=True),
                Bound("resident_flat", 1.1, at_most=True),
                Bound("p99_flat", 1.5, at_most=True),
            ),
            "-",
            (),
        ),
    )
}


def judge(bounds: tuple[Bound, ...], figures: Mapping[str, Mapping[str, float]]) -> Verdict:
    """Returns the verdict on these bounds; `figures` are the medians of each contestant by its name."""
    verdicts = [_judge_one(bound, figures) for bound in bounds]
    if not verdicts or Verdict.UNKNOWN in verdicts:
        return Verdict.UNKNOWN
    return Verdict.MISSED if Verdict.MISSED in verdicts else Verdict.REACHED


def _judge_one(bound: Bound, figures: Mapping[str, Mapping[str, float]]) -> Verdict:
    measured, mark = figures.get("Duly", {}).get(bound.figure), bound.mark(figures)
    if measured is None or mark is None:
        return Verdict.UNKNOWN
    holds = measured <= mark if bound.at_most else measured >= mark
    return Verdict.REACHED if holds else Verdict.MISSED
