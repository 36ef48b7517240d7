"""The rows of the table, by the id that the targets give them, a job's life first, then what grows, and what lasts."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from benchmarks.ground import Ground
from benchmarks.rounds import Result
from benchmarks.rows import (
    black_holes,
    deliveries,
    door,
    finished,
    memory,
    overload,
    pick_up,
    posts,
    processed,
    ready,
    several_processes,
    snapshot,
    soak,
    submit_many,
    submit_one,
    told,
    waiting,
    whole_life,
    writes,
)

Row = Callable[[Ground], list[Result]]

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "S1": submit_one.measure,
        "S2": submit_many.measure,
        "S3": processed.measure,
        "S4": whole_life.measure,
        "S5a": posts.measure,
        "S5b": deliveries.measure,
        "S6": pick_up.measure,
        "S7": told.measure,
        "BH": black_holes.measure,
        "M1": memory.measure,
        "F1": ready.measure,
        "G1": waiting.measure,
        "G2": finished.measure,
        "G3": snapshot.measure,
        "G5": writes.measure,
        "G6": several_processes.measure,
        "L1": overload.measure,
        "D1": door.measure,
        "SOAK": soak.measure,
    }
)

# What takes long by its nature is measured only where it is asked for by name.
ASKED_FOR_ONLY = frozenset({"SOAK"})
