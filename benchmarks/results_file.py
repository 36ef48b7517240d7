"""Measured rows and the circumstances of their runs, stored as JSON so that a single row can be measured again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.rounds import Result, Round
from benchmarks.run_context import Kind
from benchmarks.time_series import RoundOverTime


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Command, time, machine and server of a run. `sizes` is quick, full or small."""

    command: str
    at: str
    sizes: str
    busy_cores_before: float
    machine: Mapping[str, str]
    server: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """Results of one row, with the contestants in the order of the row."""

    circumstances: Circumstances
    seconds: float
    results: list[Result]


Rows = dict[str, Row]


def write(rows: Rows, path: Path) -> Path:
    """Writes one line per row, so that a row that is measured again changes one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(name)}: {json.dumps(_members(rows[name]), ensure_ascii=False)}" for name in sorted(rows)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def _members(row: Row) -> dict[str, Any]:
    """Returns a row as JSON members; of a contestant, only its name and kind."""
    results = [
        {
            "contestant": {"name": result.contestant.name, "kind": result.contestant.kind},
            "rounds": [asdict(each) for each in result.rounds],
            "failure": result.failure,
        }
        for result in row.results
    ]
    return {"circumstances": asdict(row.circumstances), "seconds": round(row.seconds, 1), "results": results}


def read(path: Path) -> Rows:
    """Returns the rows that `write` wrote; empty if there is no such file."""
    if not path.exists():
        return {}
    return {name: _row(members) for name, members in json.loads(path.read_text()).items()}


def _row(members: Mapping[str, Any]) -> Row:
    results = [_result(each) for each in members["results"]]
    return Row(Circumstances(**members["circumstances"]), members["seconds"], results)


def _result(members: Mapping[str, Any]) -> Result:
    who = Contestant(members["contestant"]["name"], Kind(members["contestant"]["kind"]))
    return Result(who, [_round(each) for each in members["rounds"]], members["failure"])


def _round(members: Mapping[str, Any]) -> Round:
    """Returns a round, with series if it was recorded over time."""
    return RoundOverTime(**members) if "series" in members else Round(**members)
