"""The access log: one line for each request that is refused or changes something. It holds no secrets: no query, no
headers, no bodies, and of an address only its pattern and known names.

Lines are collected for a tenth of a second and written together. Through structlog each would take 26 microseconds, a
third of a submission.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import orjson

GATHER_SECONDS = 0.1
# Writes of several processes to one pipe are not interleaved up to this size (POSIX, PIPE_BUF; Linux has 4,096).
PIECE_BYTES = 4_000
DEFAULT_TENANT_NAME = "default"


class AccessLine(NamedTuple):
    """One request, or one message of a WebSocket, that has ended now.

    `began` is a moment of `time.perf_counter`; `route` the pattern of the address, None for an unknown one; `names` are
    those in the address or in the response's `Location`, such as `jobId`; `status` is None where the client left before
    the response.
    """

    began: float
    request_id: str
    key_id: str | None
    tenant: str
    method: str
    route: str | None
    names: Mapping[str, str]
    status: int | None
    code: str | None
    client: str | None


class AccessLog:
    """Access log of one process.

    Args:
        on: whether there is one.
        form: the format of the other logs.
    """

    def __init__(self, *, on: bool, form: Literal["console", "json"]) -> None:
        self.on = on
        self.write: Callable[[str], object] = _to_standard_error
        self._encoded = _as_json if form == "json" else _as_text
        self._lines: list[tuple[AccessLine, float, float]] = []
        self._shed = 0
        self._due: asyncio.TimerHandle | None = None

    def put(self, line: AccessLine) -> None:
        """Writes a line within `GATHER_SECONDS`."""
        if self.on:
            self._lines.append((line, _now(), time.perf_counter() - line.began))
        self._schedule()

    def shed(self) -> None:
        """Counts a submission that was refused early; a line for each would cost more than the refusal."""
        self._shed += self.on
        self._schedule()

    def _schedule(self) -> None:
        if self._due is None and self.on:
            self._due = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes the lines collected."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        lines, self._lines = self._lines, []
        shed, self._shed = self._shed, 0
        told = [_members(line, at, seconds) for line, at, seconds in lines]
        if shed:
            text = f"{shed:,} submissions were refused early, under overload"
            told.append({**_head(text, _now()), "action": "submissions_shed", "count": shed, "code": "OVERLOADED"})
        pieces, size = list[bytes](), 0
        for encoded in map(self._encoded, told):
            if size + len(encoded) > PIECE_BYTES:
                self.write(b"".join(pieces).decode())
                pieces, size = [], 0
            pieces.append(encoded)
            size += len(encoded)
        if pieces:
            self.write(b"".join(pieces).decode())


def _head(message: str, at: float) -> dict[str, object]:
    return {"message": message, "level": "info", "timestamp": datetime.fromtimestamp(at, UTC)}


def _members(line: AccessLine, at: float, seconds: float) -> dict[str, object]:
    _, request_id, key_id, tenant, method, route, names, status, code, client = line
    told: dict[str, object] = {
        "message": f"{method} {route or 'an unknown address'}: {status or 'no response'}",
        "level": "info",
        "timestamp": datetime.fromtimestamp(at, UTC),
        "action": "access",
        "requestId": request_id,
        "keyId": key_id,
        "tenant": tenant,
        "method": method,
        "route": route,
        "status": status,
        "code": code,
        "durationMs": int(seconds * 10_000) / 10,
        "client": client,
    }
    if names:
        told.update(names)
    return told


def _now() -> float:
    return time.time()  # noqa: TID251  # logs are by the machine's clock


def _as_json(members: Mapping[str, object]) -> bytes:
    return orjson.dumps(members, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def _as_text(members: Mapping[str, object]) -> bytes:
    message, level, at, *_ = members.values()
    told = " ".join(f"{name}={_plain(value)}" for name, value in list(members.items())[3:] if value is not None)
    return f"{at:%Y-%m-%d %H:%M:%S} [{level:<9}] {message:<40} {told}\n".encode()


def _plain(value: object) -> str:
    """Returns a value as text for a terminal, in one line."""
    text = str(value)
    return text if text.isprintable() else ascii(text)


def _to_standard_error(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):  # a closed log ends no request
        pass
