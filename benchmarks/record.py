"""What was measured, row by row, with its circumstances; kept as JSON, so that a row can be measured anew alone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.ground import Kind
from benchmarks.over_time import RoundOverTime
from benchmarks.rounds import Result, Round


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How and on what a run was made. `sizes` is the name of its sizes: quick, full or small."""

    command: str
    at: str
    sizes: str
    busy_cores_before: float
    machine: Mapping[str, str]
    server: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row's results; the contestants in the order in which the row names them."""

    circumstances: Circumstances
    seconds: float
    results: list[Result]


Rows = dict[str, Row]


def write(rows: Rows, path: Path) -> Path:
    """One line a row: a row that is measured anew is one changed line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(name)}: {json.dumps(_members(rows[name]), ensure_ascii=False)}" for name in sorted(rows)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def _members(row: Row) -> dict[str, Any]:
    """Of a contestant only what the tables need: how it is started is told by the code."""
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
    """What `write` wrote; nothing where there is no such file."""
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
    """It has series only where it was told second by second."""
    return RoundOverTime(**members) if "series" in members else Round(**members)
