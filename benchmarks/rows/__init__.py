"""The rows of the table, by the id that the targets give them, in the order of a job's life."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from benchmarks.ground import Ground
from benchmarks.rounds import Result
from benchmarks.rows import memory, pick_up, processed, ready, submit_many, submit_one, whole_life

Row = Callable[[Ground], list[Result]]

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "S1": submit_one.measure,
        "S2": submit_many.measure,
        "S3": processed.measure,
        "S4": whole_life.measure,
        "S6": pick_up.measure,
        "M1": memory.measure,
        "F1": ready.measure,
    }
)
