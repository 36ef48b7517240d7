"""The targets of each row, as data, and how a row's figures are judged by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# What systems that are not part of this run showed on a machine like it (two cores, 24 GiB, medians of three rounds).
ON_RECORD: dict[str, float] = {
    "PgQueuer, processed": 19_761,
    "Graphile Worker, processed": 44_472,
    "Procrastinate, library call": 16_897,
    "PgQueuer, library call": 55_653,
    "best Redis peer, p50": 1.5,
}


@dataclass(frozen=True, slots=True)
class Bound:
    """`figure` of Duly is at least (or at most) `value`; times the same figure of `times` where one is named.

    `times` is a contestant of the run, or a name in ON_RECORD.
    """

    figure: str
    value: float
    times: str | None = None
    at_most: bool = False

    def mark(self, figures: Mapping[str, Mapping[str, float]]) -> float | None:
        """The bound as a figure; None where what it is relative to was not measured."""
        if self.times is None:
            return self.value
        unit = ON_RECORD.get(self.times, figures.get(self.times, {}).get(self.figure))
        return None if unit is None else self.value * unit


@dataclass(frozen=True, slots=True)
class Target:
    row: str
    what: str
    words: str
    bounds: tuple[Bound, ...]
    moonshot_words: str
    moonshot: tuple[Bound, ...]


class Verdict(StrEnum):
    REACHED = "reached"
    MISSED = "missed"
    UNKNOWN = "not measured"


TARGETS: dict[str, Target] = {
    target.row: target
    for target in (
        Target(
            "S1",
            "submit one: POST of one job, 64 connections, one process",
            "≥ 3x naive, p99 ≤ half of naive's",
            (Bound("rate", 3, "naive"), Bound("p99_ms", 0.5, "naive", at_most=True)),
            "≥ 4x naive",
            (Bound("rate", 4, "naive"),),
        ),
        Target(
            "S2",
            "submit many: 500 jobs a request, 8 connections, one process",
            "≥ 0.65x FastAPI + pydantic, ≥ 2x Procrastinate's library call",
            (Bound("rate", 0.65, "FastAPI, one INSERT for all"), Bound("rate", 2, "Procrastinate, library call")),
            "≥ PgQueuer's library call",
            (Bound("rate", 1, "PgQueuer, library call"),),
        ),
        Target(
            "S3",
            "no-op jobs accepted before, run and finalised, one process",
            "≥ 1.5x PgQueuer's best",
            (Bound("rate", 1.5, "PgQueuer, processed"),),
            "≥ Graphile Worker's best",
            (Bound("rate", 1, "Graphile Worker, processed"),),
        ),
        Target(
            "S4",
            "whole life: POST → run → signed webhook received, one process",
            "≥ 8x naive, ≥ 2,000/s",
            (Bound("rate", 8, "naive"), Bound("rate", 2_000)),
            "≥ 5,000/s",
            (Bound("rate", 5_000),),
        ),
        Target(
            "S6",
            "idle: POST sent → handler starts",
            "p50 ≤ 2.5 ms, p99 ≤ 5 ms",
            (Bound("p50_ms", 2.5, at_most=True), Bound("p99_ms", 5, at_most=True)),
            "≤ the best Redis peer",
            (Bound("p50_ms", 1, "best Redis peer, p50", at_most=True),),
        ),
        Target(
            "M1",
            "resident memory of the idle service",
            "≤ 120 MB",
            (Bound("resident_mb", 120, at_most=True),),
            "-",
            (),
        ),
        Target(
            "F1",
            "`duly serve` ready, warm",
            "≤ 2.5 s",
            (Bound("ready_seconds", 2.5, at_most=True),),
            "-",
            (),
        ),
    )
}


def judge(bounds: tuple[Bound, ...], figures: Mapping[str, Mapping[str, float]]) -> Verdict:
    """`figures` are the medians of each contestant of the run, by its name."""
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
